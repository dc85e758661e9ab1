//! One HTTP/1.1 request and its answer, as bytes.

use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The longest head that is taken; S3's are a tenth of it.
const MAX_HEAD: usize = 64 << 10;

/// A client that says nothing for so long has only kept its connection open.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request, whole.
#[derive(Debug)]
pub(super) struct Request {
    line: String,
    /// The headers but `Connection`, each with its line end.
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    /// Reads a request; `None` if the client went away without one.
    pub(super) fn read(client: &mut TcpStream) -> Result<Option<Self>> {
        client.set_read_timeout(Some(PATIENCE))?;
        let mut bytes = Vec::new();
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(bytes.len() < MAX_HEAD, "a head that does not end");
            let mut part = [0; 4096];
            let read = client.read(&mut part)?;
            if read == 0 {
                return Ok(None);
            }
            bytes.extend_from_slice(&part[..read]);
        };
        let mut body = bytes.split_off(head);
        let head = String::from_utf8(bytes).context("a head that is not text")?;
        let mut lines = head.split_inclusive("\r\n");
        let line = lines.next().context("a request without a line")?.trim_end().to_owned();
        let headers = lines.filter(|line| line.trim() != "" && !is(line, "connection")).map(str::to_owned).collect();
        let mut request = Self { line, headers, body: Vec::new() };
        ensure!(request.header("transfer-encoding").is_none(), "a body in chunks");
        let length: usize = request.header("content-length").map_or(Ok(0), str::parse)?;
        ensure!(body.len() <= length, "a second request before the first was answered");
        let have = body.len();
        body.resize(length, 0);
        client.read_exact(&mut body[have..])?;
        request.body = body;
        Ok(Some(request))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|line| is(line, name))?;
        found.split_once(':').map(|(_, value)| value.trim())
    }

    /// Bytes of the body.
    pub(super) fn body_length(&self) -> u64 {
        u64::try_from(self.body.len()).unwrap_or(u64::MAX)
    }

    /// Whether it changes what is stored.
    pub(super) fn writes(&self) -> bool {
        ["PUT ", "POST ", "DELETE "].iter().any(|method| self.line.starts_with(method))
    }

    /// Whether it creates an object unless it exists.
    pub(super) fn is_conditional_put(&self) -> bool {
        self.line.starts_with("PUT ") && self.header("if-none-match").is_some()
    }

    /// Whether it begins an upload in parts.
    pub(super) fn begins_multipart(&self) -> bool {
        self.line.starts_with("POST ") && self.line.contains("?uploads")
    }

    /// Sends it on and gives the answer, which ends with the connection.
    pub(super) fn forward(&self, upstream: SocketAddr) -> Result<Vec<u8>> {
        let mut store = TcpStream::connect(upstream)?;
        let mut bytes = format!("{}\r\n{}connection: close\r\n\r\n", self.line, self.headers.concat()).into_bytes();
        bytes.extend_from_slice(&self.body);
        store.write_all(&bytes)?;
        let mut answer = Vec::new();
        store.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

fn is(line: &str, header: &str) -> bool {
    line.split_once(':').is_some_and(|(name, _)| name.eq_ignore_ascii_case(header))
}

/// Gives the store's answer to the client.
pub(super) fn answer(client: &mut TcpStream, answer: &[u8]) -> Result<()> {
    Ok(client.write_all(answer)?)
}

/// Answers with an error as S3 words it.
pub(super) fn error(client: &mut TcpStream, status: &str, code: &str) -> Result<()> {
    let body = format!("<Error><Code>{code}</Code><Message>by plan</Message></Error>");
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n", body.len());
    Ok(client.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes())?)
}
