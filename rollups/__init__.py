"""The domain: what is counted, how it folds together, and the one store that keeps it.

Pure: events, slots, concurrency, counters, fold, state. Impure, alone: store and its Lua scripts.
"""
