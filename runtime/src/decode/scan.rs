//! A place in a payload: looking ahead, strings as they stand, and skipping what nobody reads.

use super::escape;
use super::fault::{Fault, Result};
use super::wide::string_stop;
use std::borrow::Cow;

/// Levels of objects and lists that a payload may have.
pub(super) const MAX_DEPTH: u32 = 64;

/// A place in a payload.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// Objects and lists that are open here.
    pub(super) depth: u32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    /// The next byte; 0, which JSON has nowhere outside of strings, at the end.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Sixteen bytes from `at`, zeros behind the end.
    #[inline]
    pub(super) fn block(&self, at: usize) -> u128 {
        match self.bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            Some(block) => u128::from_le_bytes(*block),
            None => self.last_block(at),
        }
    }

    /// The block of a place less than sixteen bytes from the end.
    #[inline]
    fn last_block(&self, at: usize) -> u128 {
        let left = self.bytes.len().saturating_sub(at);
        match self.bytes.last_chunk::<16>() {
            Some(block) => u128::from_le_bytes(*block).unbounded_shr(8 * (16 - left as u32)),
            None => {
                let mut block = [0; 16];
                block[..left].copy_from_slice(&self.bytes[self.bytes.len() - left..]);
                u128::from_le_bytes(block)
            }
        }
    }

    /// Eight bytes from `at`, zeros behind the end.
    #[inline]
    pub(super) fn word(&self, at: usize) -> u64 {
        match self.bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            Some(word) => u64::from_le_bytes(*word),
            None => self.last_block(at) as u64,
        }
    }

    /// Moves to the next byte that is not white space.
    #[inline]
    pub(super) fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// Takes one byte that must stand here.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8, name: &str) -> Result {
        if self.peek() != byte {
            return Err(self.unexpected(name));
        }
        self.at += 1;
        Ok(())
    }

    /// Enters an object or list.
    #[inline]
    pub(super) fn open(&mut self) -> Result {
        if self.depth == MAX_DEPTH {
            return Err(self.too_deep());
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Takes a literal that must stand here.
    #[inline]
    pub(super) fn literal(&mut self, text: &'static str) -> Result {
        let rest = &self.bytes[self.at..];
        if !rest.starts_with(text.as_bytes()) {
            if text.as_bytes().starts_with(rest) {
                self.at = self.bytes.len();
            }
            return Err(self.unexpected("a value"));
        }
        self.at += text.len();
        Ok(())
    }

    /// Takes a string, the quote first, and gives what stands between the quotes; `true` when escapes are among it.
    pub(super) fn raw_string(&mut self) -> Result<(&'a [u8], bool)> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let stop = string_stop(self.block(self.at));
            self.at += stop.at;
            match self.peek() {
                b'"' if stop.at < 16 => break,
                b'\\' if stop.at < 16 => {
                    escaped = true;
                    escape::skip(self)?;
                }
                _ if stop.at == 16 => {}
                _ => return Err(self.control()),
            }
        }
        let text = &self.bytes[start..self.at];
        self.at += 1;
        Ok((text, escaped))
    }

    /// Takes a string and resolves its escapes. Whether it is UTF-8 is not checked.
    pub(super) fn string(&mut self) -> Result<Cow<'a, [u8]>> {
        let start = self.at;
        let (text, escaped) = self.raw_string()?;
        if !escaped {
            return Ok(Cow::Borrowed(text));
        }
        let mut resolved = Vec::with_capacity(text.len());
        let mut inner = Cursor { bytes: self.bytes, at: start + 1, depth: 0 };
        let end = self.at - 1;
        while inner.at < end {
            if inner.peek() == b'\\' {
                escape::resolve(&mut inner, &mut resolved)?;
            } else {
                resolved.push(inner.peek());
                inner.at += 1;
            }
        }
        Ok(Cow::Owned(resolved))
    }

    /// Takes a key and its colon.
    #[inline]
    fn skip_key(&mut self) -> Result {
        if self.peek() != b'"' {
            return Err(self.unexpected("a field name"));
        }
        self.raw_string()?;
        self.colon()
    }

    /// Takes a colon and the space around it.
    #[inline]
    pub(super) fn colon(&mut self) -> Result {
        self.skip_space();
        self.expect(b':', "\":\"")?;
        self.skip_space();
        Ok(())
    }

    /// Takes a value that nobody reads. Its syntax is checked, except that strings may be other than UTF-8. It does not
    /// recurse: whether an object or a list is open at each level is a bit.
    pub(super) fn skip_value(&mut self) -> Result {
        let outside = self.depth;
        let mut objects = 0_u64;
        loop {
            match self.peek() {
                b'"' => drop(self.raw_string()?),
                b'-' | b'0'..=b'9' => drop(self.number().ok_or_else(|| self.unexpected("a number"))?),
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                open @ (b'{' | b'[') => {
                    self.open()?;
                    self.skip_space();
                    objects = objects << 1 | u64::from(open == b'{');
                    // In ASCII the closing bracket is two behind the opening one, in both pairs.
                    if self.peek() != open + 2 {
                        if open == b'{' {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
                _ => return Err(self.unexpected("a value")),
            }
            if self.skip_ends(outside, &mut objects)? {
                return Ok(());
            }
        }
    }

    /// Behind a value or an opening bracket: takes closing brackets up to a comma, and the key behind it in an object.
    /// Says whether all is closed.
    fn skip_ends(&mut self, outside: u32, objects: &mut u64) -> Result<bool> {
        loop {
            if self.depth == outside {
                return Ok(true);
            }
            self.skip_space();
            match (self.peek(), *objects & 1) {
                (b'}', 1) | (b']', 0) => {
                    self.at += 1;
                    self.depth -= 1;
                    *objects >>= 1;
                }
                (b',', 1) => {
                    self.at += 1;
                    self.skip_space();
                    self.skip_key()?;
                    return Ok(false);
                }
                (b',', _) => {
                    self.at += 1;
                    self.skip_space();
                    return Ok(false);
                }
                (_, 1) => return Err(self.unexpected("\",\" or \"}\"")),
                _ => return Err(self.unexpected("\",\" or \"]\"")),
            }
        }
    }

    /// The payload ends here, or something else than `expected` stands here.
    #[cold]
    pub(super) fn unexpected(&self, expected: &str) -> Box<Fault> {
        if self.at >= self.bytes.len() {
            return Fault::syntax(format!("truncated at byte {}", self.at));
        }
        Fault::syntax(format!("expected {expected} at byte {}, found {}", self.at, self.excerpt()))
    }

    /// The value that starts here is not `expected`.
    #[cold]
    pub(super) fn wrong(&self, expected: &str) -> Box<Fault> {
        if self.at >= self.bytes.len() {
            return self.unexpected(expected);
        }
        Fault::value(format!("expected {expected}, found {}", self.excerpt()))
    }

    #[cold]
    pub(super) fn control(&self) -> Box<Fault> {
        if self.at >= self.bytes.len() {
            return self.unexpected("");
        }
        Fault::syntax(format!("control character {:#04x} in a string at byte {}", self.peek(), self.at))
    }

    #[cold]
    fn too_deep(&self) -> Box<Fault> {
        Fault::syntax(format!("nested deeper than {MAX_DEPTH} levels at byte {}", self.at))
    }

    /// What stands here, for a person: a scalar as written, at most 40 bytes of it.
    fn excerpt(&self) -> String {
        const LONGEST: usize = 40;
        let rest = &self.bytes[self.at..];
        let scalar = match rest[0] {
            b'{' => return "an object".into(),
            b'[' => return "a list".into(),
            b'"' => rest[1..].iter().position(|&byte| byte == b'"').map_or(rest.len(), |end| end + 2),
            _ => rest.iter().position(|byte| b",]} \t\r\n".contains(byte)).unwrap_or(rest.len()).max(1),
        };
        let text = String::from_utf8_lossy(&rest[..scalar.min(LONGEST)]).escape_debug().to_string();
        let text = text.replace("\\\"", "\"");
        if scalar > LONGEST { format!("{text}..") } else { text }
    }
}
