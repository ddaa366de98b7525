"""NFStream's plugins as they should be, written anew: what Flowloom's have to give.

Each notes by which of the `REASONS` it gives other values than NFStream's own.
"""
