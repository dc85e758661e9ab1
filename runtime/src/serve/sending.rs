//! Sends large answers: a number of them at a time, and none for ever to a caller who does not read it.

use super::problem::Problem;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// An answer above this is large, in bytes; a smaller one is left to the connection's own buffers.
const LARGE: u64 = 1 << 20;

/// Large answers on their way at the same time: with the largest that are usual, of 20 MB, they hold less than a gigabyte.
pub(super) const AT_ONCE: usize = 32;

/// How long one may take. After this the rest is let go of, and the connection is cut.
const LIMIT: Duration = Duration::from_secs(60);

/// Bytes that are handed on at once: what a stalled connection may keep.
const SLICE: usize = 64 << 10;

/// The response, with a bound on what it holds and for how long.
///
/// # Errors
/// When as many large answers are on their way as may be.
pub(super) async fn bounded(response: Response, turns: &Arc<Semaphore>) -> Result<Response, Problem> {
    let (parts, body) = response.into_parts();
    if body.size_hint().upper().is_some_and(|bytes| bytes <= LARGE) {
        return Ok(Response::from_parts(parts, body));
    }
    let turn = Arc::clone(turns).try_acquire_owned().map_err(|_| {
        Problem::unavailable("too many large answers are on their way: ask for fewer rows (`limit`), or again later")
    })?;
    let bytes = to_bytes(body, usize::MAX).await.map_err(|error| {
        tracing::error!(%error, "an answer cannot be sent");
        Problem::internal()
    })?;
    Ok(Response::from_parts(parts, Body::new(Sending::new(bytes, turn, LIMIT))))
}

/// The body of a large answer.
struct Sending {
    left: Arc<Mutex<Option<Left>>>,
    bytes_left: u64,
}

/// What is still to be sent.
struct Left {
    bytes: Bytes,
    /// Given back with the last bytes.
    _turn: OwnedSemaphorePermit,
}

impl Sending {
    fn new(bytes: Bytes, turn: OwnedSemaphorePermit, limit: Duration) -> Self {
        let bytes_left = bytes.len() as u64;
        let left = Arc::new(Mutex::new(Some(Left { bytes, _turn: turn })));
        let late = Arc::downgrade(&left);
        // Who does not read is not asked either, so the end is not found out from there.
        tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            if let Some(left) = late.upgrade() {
                lock(&left).take();
            }
        });
        Self { left, bytes_left }
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.bytes_left == 0 {
            return Poll::Ready(None);
        }
        let mut left = lock(&this.left);
        let Some(Left { bytes, .. }) = &mut *left else {
            return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the caller reads too slowly"))));
        };
        // A copy: a slice would keep all of the answer.
        let slice = bytes.split_to(SLICE.min(bytes.len()));
        let slice = Bytes::copy_from_slice(&slice);
        this.bytes_left -= slice.len() as u64;
        if this.bytes_left == 0 {
            left.take();
        }
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes_left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes_left)
    }
}

fn lock(left: &Mutex<Option<Left>>) -> MutexGuard<'_, Option<Left>> {
    left.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    fn large() -> Response {
        vec![7_u8; 3 << 20].into_response()
    }

    #[tokio::test]
    async fn a_large_answer_arrives_whole_and_gives_its_turn_back() {
        let turns = Arc::new(Semaphore::new(1));
        let response = bounded(large(), &turns).await.unwrap();
        assert!(bounded(large(), &turns).await.is_err(), "as many as may be are on their way");
        assert!(bounded("small".into_response(), &turns).await.is_ok());
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(bytes.len() == 3 << 20 && bytes.iter().all(|byte| *byte == 7));
        assert_eq!(turns.available_permits(), 1);
    }

    #[tokio::test]
    async fn who_does_not_read_holds_nothing_for_long() {
        let turns = Arc::new(Semaphore::new(1));
        let turn = Arc::clone(&turns).acquire_owned().await.unwrap();
        let mut body = Sending::new(vec![7; 3 << 20].into(), turn, Duration::from_millis(1));
        let mut next = async || std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        assert!(next().await.unwrap().is_ok());
        turns.acquire().await.unwrap().forget();
        assert!(next().await.unwrap().is_err());
    }
}
