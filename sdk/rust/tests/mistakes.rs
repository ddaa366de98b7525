//! What the compiler says about mistakes of a plugin's author. Each file in `mistakes` has one mistake or several of
//! one kind; the text beside it is that of the compiler.
//!
//! `TRYBUILD=overwrite make compiler-texts` writes the texts. Read them as the author of a plugin.

#![cfg(feature = "__compiler-texts")]

#[test]
fn the_compiler_explains_mistakes() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
