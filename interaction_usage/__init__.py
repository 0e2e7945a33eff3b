"""Usage metering for interaction platforms: what stands around the stream and its rollups."""
