"""The rollups in Redis: everything that talks to it, and the Lua that runs inside it."""
