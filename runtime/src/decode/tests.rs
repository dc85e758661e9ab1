//! What becomes of payloads.
