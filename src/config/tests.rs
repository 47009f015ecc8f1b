//! Whole files: what people have, and what they get wrong.
