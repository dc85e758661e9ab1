//! Puts environment variables into the text of a configuration file.
//!
//! | written | becomes |
//! |---|---|
//! | `${NAME}` | the variable; unset is an error |
//! | `${NAME:-text}` | the variable, or `text` (as written, up to the `}`) where it is unset or empty |
//! | `$${NAME}` | `${NAME}` itself |
//!
//! A variable's value is data, whatever it holds: inside `"..."` it is escaped, inside `'...'` a value that would end
//! the string is refused, and outside of strings only numbers and the like are taken. Comments are left alone.

use super::Error;

/// Text with variables put in, and the way back to where each part was written.
#[derive(Debug, PartialEq)]
pub(super) struct Substituted {
    pub(super) text: String,
    /// Where a replacement stands in `text` and in the original, in order.
    replaced: Vec<Replaced>,
}

#[derive(Debug, PartialEq)]
struct Replaced {
    start: usize,
    end: usize,
    original_start: usize,
    original_end: usize,
}

impl Substituted {
    /// The place in the original text that `offset` comes from.
    pub(super) fn original(&self, offset: usize) -> usize {
        let mut shift = (0, 0);
        for replaced in &self.replaced {
            if offset < replaced.start {
                break;
            }
            if offset < replaced.end {
                return replaced.original_start;
            }
            shift = (replaced.end, replaced.original_end);
        }
        offset - shift.0 + shift.1
    }
}

/// Where the scanner stands.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Context {
    Bare,
    Comment,
    /// A string that ends with this delimiter.
    String(&'static str),
}

impl Context {
    fn is_basic(self) -> bool {
        matches!(self, Self::String("\"" | "\"\"\""))
    }
}

/// Puts variables into `text`.
pub(super) fn substitute(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Substituted, Error> {
    let mut output = Substituted { text: String::with_capacity(text.len()), replaced: Vec::new() };
    let mut context = Context::Bare;
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        let escaped = rest.starts_with("$${");
        if context != Context::Comment && (escaped || rest.starts_with("${")) {
            let line = 1 + text[..at].matches('\n').count();
            let (value, length) = if escaped { ("${".to_owned(), 3) } else { replacement(rest, context, line, env)? };
            let start = output.text.len();
            output.text.push_str(&value);
            let end = output.text.len();
            output.replaced.push(Replaced { start, end, original_start: at, original_end: at + length });
            at += length;
            continue;
        }
        let length = step(rest, next, &mut context);
        output.text.push_str(&rest[..length]);
        at += length;
    }
    Ok(output)
}

/// How many bytes to copy next; moves the context where a string or comment starts or ends.
fn step(rest: &str, next: char, context: &mut Context) -> usize {
    match *context {
        Context::Bare => {
            let delimiter = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|delimiter| rest.starts_with(delimiter));
            if let Some(delimiter) = delimiter {
                *context = Context::String(delimiter);
                return delimiter.len();
            }
            if next == '#' {
                *context = Context::Comment;
            }
        }
        Context::Comment if next == '\n' => *context = Context::Bare,
        Context::Comment => {}
        Context::String(_) if context.is_basic() && next == '\\' => {
            return 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
        }
        Context::String(delimiter) if rest.starts_with(delimiter) => {
            // Up to two quotes may stand before the three that end a multi-line string.
            let more = delimiter.len() == 3 && rest[1..].starts_with(delimiter);
            if more {
                return 1;
            }
            *context = Context::Bare;
            return delimiter.len();
        }
        // A one-line string that is not closed is TOML's error to report; the next line starts afresh.
        Context::String(delimiter) if delimiter.len() == 1 && next == '\n' => *context = Context::Bare,
        Context::String(_) => {}
    }
    next.len_utf8()
}

/// What stands for the reference that `rest` starts with, and the reference's length.
fn replacement(
    rest: &str,
    context: Context,
    line: usize,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, usize), Error> {
    let one_line = rest.lines().next().unwrap_or(rest);
    let Some(end) = one_line.find('}') else { return Err(Error::OpenVariable { line }) };
    let (name, default) = match one_line[2..end].split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (&one_line[2..end], None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(Error::VariableName { name: name.to_owned(), line });
    }
    let value = match (env(name), default) {
        (Some(value), None) => value,
        (Some(value), Some(_)) if !value.is_empty() => value,
        (_, Some(default)) => return Ok((default.to_owned(), end + 1)),
        (None, None) => return Err(Error::UnsetVariable { name: name.to_owned(), line }),
    };
    match inserted(&value, context) {
        Some(value) => Ok((value, end + 1)),
        None => Err(Error::VariableValue { name: name.to_owned(), line }),
    }
}

/// The value as it can stand in its context without being anything but a value.
fn inserted(value: &str, context: Context) -> Option<String> {
    match context {
        Context::String(_) if context.is_basic() => Some(escape(value)),
        Context::String(_) => (!value.contains(|c: char| c == '\'' || c.is_control())).then(|| value.to_owned()),
        Context::Bare | Context::Comment => {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '.');
            (!value.is_empty() && value.chars().all(plain)).then(|| value.to_owned())
        }
    }
}

fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            c if c.is_control() => escaped.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        let value = match name {
            "LAKE" => "s3://lake",
            "QUOTES" => "a\"b\\c\nd",
            "APOSTROPHE" => "it's",
            "ROWS" => "500",
            "INJECTION" => "1\n[kafka]",
            "EMPTY" => "",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn a_variable_is_data_wherever_it_stands() {
        let cases = [
            (r#"a = "${LAKE}""#, Ok(r#"a = "s3://lake""#)),
            (r#"a = "x${LAKE}y${LAKE}""#, Ok(r#"a = "xs3://lakeys3://lake""#)),
            (r#"a = "${QUOTES}""#, Ok(r#"a = "a\"b\\c\u000Ad""#)),
            (r#"a = """${QUOTES}""""#, Ok(r#"a = """a\"b\\c\u000Ad""""#)),
            ("a = '${LAKE}'", Ok("a = 's3://lake'")),
            ("a = '${APOSTROPHE}'", Err("the variable APOSTROPHE holds characters that cannot stand here, on line 1")),
            ("a = ${ROWS}", Ok("a = 500")),
            ("\na = ${INJECTION}", Err("the variable INJECTION holds characters that cannot stand here, on line 2")),
            ("# ${UNSET}\na = 1 # ${UNSET}", Ok("# ${UNSET}\na = 1 # ${UNSET}")),
            (r##"a = "#${LAKE}""##, Ok(r##"a = "#s3://lake""##)),
            (r#"a = "\"${LAKE}""#, Ok(r#"a = "\"s3://lake""#)),
            (r#"a = 'b\' # ${UNSET}"#, Ok(r#"a = 'b\' # ${UNSET}"#)),
            ("a = \"\"\"b\"\"\"\" # ${UNSET}", Ok("a = \"\"\"b\"\"\"\" # ${UNSET}")),
            (r#"a = "$${LAKE}""#, Ok(r#"a = "${LAKE}""#)),
            (r#"a = "$5""#, Ok(r#"a = "$5""#)),
        ];
        check(&cases);
    }

    #[test]
    fn a_default_stands_in_for_an_unset_or_empty_variable() {
        check(&[
            (r#"a = "${UNSET:-./lake}""#, Ok(r#"a = "./lake""#)),
            (r#"a = "${EMPTY:-b}""#, Ok(r#"a = "b""#)),
            (r#"a = "${LAKE:-b}""#, Ok(r#"a = "s3://lake""#)),
            (r#"a = "${UNSET:-}""#, Ok(r#"a = """#)),
            (r#"a = "${EMPTY}""#, Ok(r#"a = """#)),
        ]);
    }

    #[test]
    fn a_reference_that_cannot_be_resolved_is_named_with_its_line() {
        check(&[
            (
                "\n\na = \"${UNSET}\"",
                Err("the variable UNSET on line 3 is not set; set it, or write ${UNSET:-default}"),
            ),
            (
                "a = \"${LAKE\"\nb = \"}\"",
                Err("`${` on line 1 has no `}` on the same line; write `$${` for a plain `${`"),
            ),
            ("a = \"${1A}\"", Err("`1A` on line 1 cannot name a variable; write `$${` for a plain `${`")),
        ]);
    }

    #[test]
    fn a_place_in_the_result_leads_back_to_where_it_was_written() {
        let original = r#"a = "${LAKE}" b = "${EMPTY}" c"#;
        let substituted = substitute(original, &env).unwrap();
        for found in ["a =", "b =", "c"] {
            let offset = substituted.text.rfind(found).unwrap();
            assert_eq!(substituted.original(offset), original.rfind(found).unwrap(), "{found}");
        }
        let inside = substituted.text.find("//lake").unwrap();
        assert_eq!(substituted.original(inside), original.find("${LAKE}").unwrap());
    }

    fn check(cases: &[(&str, Result<&str, &str>)]) {
        for (text, expected) in cases {
            let found = substitute(text, &env).map(|substituted| substituted.text).map_err(|error| error.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), *expected, "{text}");
        }
    }
}
