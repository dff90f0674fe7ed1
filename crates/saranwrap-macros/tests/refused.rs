//! What the macros refuse, and where they point.
//!
//! All errors in `refused/` are the macros' own, with their own words, so that they are the same with every compiler.  They come before
//! anything of `saranwrap` is looked for, so that nothing but the macros is built for this.  After a change of the words,
//! `TRYBUILD=overwrite cargo test --test refused` writes them anew.

#[test]
fn what_cannot_be_used_from_another_process_is_refused_where_it_is_written() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
