//! Comparisons of what modules made of chunks.
