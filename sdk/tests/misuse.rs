//! Misuse of the macros is a compile error at the offending place, which shows the right form.

#[test]
fn misuse_is_explained_where_it_happens() {
    trybuild::TestCases::new().compile_fail("tests/misuse/*.rs");
}
