//! What operators may ask of a running pipeline, as plain data: the pipeline takes orders from a queue and answers each.

use super::Time;
use super::status::Metered;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, oneshot};

/// Orders that wait: a person gives one at a time.
const QUEUE: usize = 8;

/// Somebody who may give orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The name that stands in the log of deployments.
    pub name: String,
    /// The domains whose modules are theirs; `None` for all.
    pub domains: Option<Vec<String>>,
}

impl Operator {
    /// Whether modules of `domain` are theirs.
    #[must_use]
    pub fn may(&self, domain: &str) -> bool {
        self.domains.as_ref().is_none_or(|domains| domains.iter().any(|own| own == domain))
    }
}

/// Everybody who may give orders, and where these go. By default nobody.
#[derive(Debug, Default)]
pub struct Operators {
    known: Vec<([u8; 32], Operator)>,
    orders: Option<mpsc::Sender<Order>>,
    inquiries: Option<mpsc::Sender<Inquiry>>,
}

/// What operators ask and nobody has taken yet.
#[derive(Debug)]
pub struct Asked {
    /// Orders about modules.
    pub orders: mpsc::Receiver<Order>,
    /// What is asked about dead letters.
    pub inquiries: mpsc::Receiver<Inquiry>,
}

impl Operators {
    /// Operators by their tokens, and the queues of what they ask.
    pub fn new(known: impl IntoIterator<Item = (Vec<u8>, Operator)>) -> (Self, Asked) {
        let (orders, of_modules) = mpsc::channel(QUEUE);
        let (inquiries, of_letters) = mpsc::channel(QUEUE);
        let known = known.into_iter().map(|(token, operator)| (Sha256::digest(token).into(), operator)).collect();
        let asked = Asked { orders: of_modules, inquiries: of_letters };
        (Self { known, orders: Some(orders), inquiries: Some(inquiries) }, asked)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whose token that is. Digests are compared, so the time that it takes says nothing about the tokens.
    pub(super) fn find(&self, token: &[u8]) -> Option<&Operator> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        self.known.iter().find(|(known, _)| *known == digest).map(|(_, operator)| operator)
    }

    /// Gives an order and waits for the answer; `None` where the pipeline is ending.
    pub(super) async fn give(&self, operator: Operator, why: Option<String>, act: Act) -> Option<Reply> {
        let (reply, answer) = oneshot::channel();
        self.orders.as_ref()?.send(Order { operator, why, act, reply }).await.ok()?;
        answer.await.ok()
    }

    /// Asks about dead letters and waits for the answer; `None` where the pipeline is ending.
    pub(super) async fn inquire(
        &self,
        operator: Operator,
        module: String,
        about: About,
        parameters: Vec<(String, String)>,
    ) -> Option<Result<serde_json::Value, Refusal>> {
        let (reply, answer) = oneshot::channel();
        self.inquiries.as_ref()?.send(Inquiry { operator, module, about, parameters, reply }).await.ok()?;
        answer.await.ok()
    }
}

/// Something about a module's dead letters.
#[derive(Debug)]
pub struct Inquiry {
    /// Who asks.
    pub operator: Operator,
    /// The module.
    pub module: String,
    /// What is asked.
    pub about: About,
    /// Which letters are meant, and how they are shown, as names and values.
    pub parameters: Vec<(String, String)>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<serde_json::Value, Refusal>>,
}

/// What is asked about dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Which there are.
    List,
    /// All that is known of one.
    Show,
    /// To send them through the module again.
    Redrive,
    /// To let them be.
    Discard,
}

/// An order.
#[derive(Debug)]
pub struct Order {
    /// Who gives it.
    pub operator: Operator,
    /// Why.
    pub why: Option<String>,
    /// What is to be done.
    pub act: Act,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Reply>,
}

/// The answer to an order.
pub type Reply = Result<Accepted, Refusal>;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Make a module active.
    Deploy(Offer),
    /// Make the digest before active again.
    Rollback {
        /// The module.
        module: String,
    },
    /// Run a module beside the active one of its name, and compare.
    Shadow {
        /// The component.
        bytes: bytes::Bytes,
        /// Beside this version of its module, not beside the module itself.
        as_version: Option<u32>,
    },
    /// Run nothing beside the active module any more.
    EndShadow {
        /// The module.
        module: String,
    },
    /// Make the shadow active.
    Promote {
        /// The module.
        module: String,
        /// What has to hold of the comparison so far, each as a person writes it.
        conditions: Vec<String>,
    },
    /// Take the module's products back to where they stood, and read on from there.
    Rewind {
        /// The module.
        module: String,
        /// A micro-batch, a time, or the first digits of a digest to go back before.
        to: String,
        /// Whether the digest before is active from there on.
        rollback: bool,
        /// Only say what would be undone.
        dry_run: bool,
    },
    /// Give the module no more records.
    Pause {
        /// The module.
        module: String,
    },
    /// Give the module records again, from where its products stand.
    Resume {
        /// The module.
        module: String,
    },
}

/// A module that is to become active.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// The component.
    pub bytes: bytes::Bytes,
    /// The digest that is to be active until then; any where it is not said.
    pub replaces: Option<String>,
    /// Beside the module of its name, as this version of it; in its place without.
    pub as_version: Option<u32>,
    /// Make the products of the module anew, with whatever columns it gives them, of everything that can still be read.
    pub rebuild: bool,
    /// Rebuild them also where records that they were made of are gone.
    pub yes: bool,
    /// Only say what would change.
    pub dry_run: bool,
}

impl Act {
    /// Whether it only asks what would be.
    #[must_use]
    pub fn is_question(&self) -> bool {
        matches!(self, Self::Deploy(Offer { dry_run: true, .. }) | Self::Rewind { dry_run: true, .. })
    }
}

/// An order that was taken: it is in the log of deployments, and every instance follows at its next micro-batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The module.
    pub module: String,
    /// The number of the decision among those about the module; of a mere question that of the newest.
    pub sequence: i64,
    /// The digest that is active with it.
    pub digest: String,
    /// The version that the digest's manifest names.
    pub version: String,
    /// What changes for readers of the products, for a person.
    pub changes: Vec<String>,
}

/// Why an order was not taken. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// What the order is about is not there.
    Unknown(String),
    /// The order came too late, or does not fit where the module stands.
    Conflict(String),
    /// The module cannot be taken, with the single reasons.
    Unfit(String, Vec<String>),
    /// The operator may not do that.
    Forbidden(String),
    /// The pipeline cannot do it now.
    Unavailable(String),
    /// A fault of our own; the log has the cause.
    Internal,
}

/// Where a module stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Released {
    /// The module's name.
    pub module: String,
    /// The domain that owns it.
    pub owner: String,
    /// The digest that is to be active, by the log of deployments.
    pub digest: String,
    /// The version that the digest's manifest names.
    pub version: String,
    /// The digest that this instance runs; `None` while it runs none.
    pub running: Option<String>,
    /// The number of the decision up to whose rewind or rebuild this instance's tables and answers went back; `None` where there was none.
    pub rewound: Option<i64>,
    /// Why the module gets no records; `None` while it does.
    pub paused: Option<String>,
    /// Whether it was the runtime that paused it, because it failed too often.
    pub parked: bool,
    /// By partition, `orders#0/3`: why this instance does not read it on for this module.
    #[serde(default)]
    pub stopped: BTreeMap<String, String>,
    /// The digest that runs beside it.
    pub shadow: Option<String>,
    /// What it was given, made and used in the instance that answers; `None` before that knows.
    pub metered: Option<Metered>,
    /// The number of the newest decision.
    pub sequence: i64,
    /// What was decided, the newest first.
    pub history: Vec<Decision>,
}

/// A decision about a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Its number among those about the module.
    pub sequence: i64,
    /// What was decided.
    pub action: String,
    /// The digest that it is about.
    pub digest: Option<String>,
    /// The version that the digest's manifest names.
    pub version: Option<String>,
    /// The last micro-batch that stays, of a rewind; 0 of a rebuild.
    #[serde(default)]
    pub micro_batch: Option<i64>,
    /// Who decided.
    pub who: String,
    /// Why.
    pub why: Option<String>,
    /// When.
    pub at: Time,
}
