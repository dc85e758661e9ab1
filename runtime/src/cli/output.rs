//! What a command prints, to a reader who may have gone away: `head` does when it has seen enough, and that is no failure.

use super::Error;
use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// Prints what was asked for, to standard output.
///
/// # Errors
/// When it cannot be written, as on a full disk. A reader who has gone is no error.
pub(crate) fn print(text: impl Display) -> Result<(), Error> {
    try_print(text).map_err(|source| Error::Output { source })
}

/// The same for who has errors of another kind.
///
/// # Errors
/// As [`print`].
pub(crate) fn try_print(text: impl Display) -> std::io::Result<()> {
    write(&mut std::io::stdout().lock(), &text)
}

/// Says something beside that, to standard error. Where that cannot be written there is nobody to be told.
pub(crate) fn say(text: impl Display) {
    let _ = write(&mut std::io::stderr().lock(), &text);
}

fn write(to: &mut dyn Write, text: &dyn Display) -> std::io::Result<()> {
    match write!(to, "{text}").and_then(|()| to.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_has_gone_is_no_failure_and_a_full_disk_is() {
        assert!(write(&mut Failing(ErrorKind::BrokenPipe), &"text").is_ok());
        assert!(write(&mut Failing(ErrorKind::StorageFull), &"text").is_err());
        let mut written = Vec::new();
        write(&mut written, &"text").unwrap();
        assert_eq!(written, b"text");
    }
}
