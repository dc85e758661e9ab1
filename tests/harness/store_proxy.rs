//! A store that cannot be relied on: stands before a real one, and refuses, lies, hangs, repeats and delays by a seeded plan.
//!
//! Requests go on byte by byte, with the client's own `Host`, so that their signatures stay good. Only `Connection` is ours: one
//! request a connection makes "the connection broke" easy to tell.

mod exchange;

use crate::random::Random;
use anyhow::Result;
use exchange::Request;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often each mischief befalls a request, in a thousand; what is left goes through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mischief {
    /// Answered 503 and not forwarded.
    pub refuse: u64,
    /// A PUT, POST or DELETE is forwarded and done, then answered 500.
    pub deny: u64,
    /// Such a request is forwarded and done, then the connection is closed without an answer.
    pub cut: u64,
    /// A conditional PUT is forwarded twice; the client gets the second answer, which says that the object exists.
    pub repeat: u64,
    /// Forwarded, but the answer is held back for `hold`.
    pub hang: u64,
    /// Forwarded after `delay`.
    pub slow: u64,
    /// How long an answer is held back.
    pub hold: Duration,
    /// How long a slow request waits.
    pub delay: Duration,
}

/// What a request meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Through,
    Refused,
    Denied,
    Cut,
    Repeated,
    Held(Duration),
    Slowed(Duration),
}

/// What has come by so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests.
    pub requests: u64,
    /// Requests that met with mischief.
    pub mischief: u64,
    /// Multipart uploads begun.
    pub multipart: u64,
    /// Bytes of the longest request.
    pub longest: u64,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    plan: Mutex<(Mischief, Random)>,
    stopped: AtomicBool,
    requests: AtomicU64,
    mischief: AtomicU64,
    multipart: AtomicU64,
    longest: AtomicU64,
}

/// A proxy before one store.
#[derive(Debug)]
pub struct StoreProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl StoreProxy {
    /// Starts a proxy before the store at `upstream`, which lets everything through until told otherwise.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(upstream: SocketAddr, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            plan: Mutex::new((Mischief::default(), Random::new(seed))),
            stopped: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            mischief: AtomicU64::new(0),
            multipart: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        });
        let serving = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || accept(&listener, &serving));
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// Where the store seems to be.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the plan, from the next request on.
    pub fn set(&self, mischief: Mischief) {
        self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner).0 = mischief;
    }

    /// What has come by.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Seen {
            requests: read(&self.shared.requests),
            mischief: read(&self.shared.mischief),
            multipart: read(&self.shared.multipart),
            longest: read(&self.shared.longest),
        }
    }
}

impl Drop for StoreProxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.stopped.load(Ordering::Acquire) {
            return;
        }
        let (Ok(client), shared) = (client, Arc::clone(shared)) else { continue };
        // A client that goes away in the middle is what the cases are about: nobody is to be told.
        std::thread::spawn(move || serve(client, &shared).unwrap_or_default());
    }
}

fn serve(mut client: TcpStream, shared: &Shared) -> Result<()> {
    let Some(request) = Request::read(&mut client)? else { return Ok(()) };
    shared.requests.fetch_add(1, Ordering::Relaxed);
    shared.longest.fetch_max(request.body_length(), Ordering::Relaxed);
    if request.begins_multipart() {
        shared.multipart.fetch_add(1, Ordering::Relaxed);
    }
    let fate = {
        let mut plan = shared.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let mischief = plan.0;
        fate(&mischief, &mut plan.1, &request)
    };
    shared.mischief.fetch_add(u64::from(fate != Fate::Through), Ordering::Relaxed);
    match fate {
        Fate::Through => exchange::answer(&mut client, &request.forward(shared.upstream)?)?,
        Fate::Refused => exchange::error(&mut client, "503 Slow Down", "SlowDown")?,
        Fate::Denied => {
            request.forward(shared.upstream)?;
            exchange::error(&mut client, "500 Internal Server Error", "InternalError")?;
        }
        Fate::Cut => drop(request.forward(shared.upstream)?),
        Fate::Repeated => {
            request.forward(shared.upstream)?;
            exchange::answer(&mut client, &request.forward(shared.upstream)?)?;
        }
        Fate::Held(hold) => {
            let answer = request.forward(shared.upstream)?;
            crate::wait::moment(hold);
            exchange::answer(&mut client, &answer)?;
        }
        Fate::Slowed(delay) => {
            crate::wait::moment(delay);
            exchange::answer(&mut client, &request.forward(shared.upstream)?)?;
        }
    }
    Ok(client.shutdown(Shutdown::Both)?)
}

/// The plan's draw for a request. A lie about a request that changes nothing would be a refusal.
fn fate(mischief: &Mischief, random: &mut Random, request: &Request) -> Fate {
    let writes = request.writes();
    let mut drawn = random.between(0, 1000);
    let shares = [
        (mischief.refuse, true, Fate::Refused),
        (mischief.deny, writes, Fate::Denied),
        (mischief.cut, writes, Fate::Cut),
        (mischief.repeat, request.is_conditional_put(), Fate::Repeated),
        (mischief.hang, true, Fate::Held(mischief.hold)),
        (mischief.slow, true, Fate::Slowed(mischief.delay)),
    ];
    for (share, applies, fate) in shares {
        if drawn < share {
            return if applies { fate } else { Fate::Through };
        }
        drawn -= share;
    }
    Fate::Through
}

#[cfg(test)]
mod tests;
