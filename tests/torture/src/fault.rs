//! What can befall a pipeline, and the seed's choice of it.

use clap::ValueEnum;
use lakeward::fault::POINTS;
use lakeward_tests::random::Random;
use std::fmt;
use std::time::Duration;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// SIGKILL at a point of the commit.
    KillAtPoint,
    /// SIGKILL at any time.
    Kill,
    /// SIGSTOP until another instance has taken over, then SIGCONT: two that both believe to be the one.
    Zombie,
    /// SIGKILL of the broker, which then starts again.
    Broker,
    /// SIGTERM, and a new start.
    Restart,
    /// An instance more.
    Join,
    /// An instance less.
    Leave,
    /// SIGTERM and a new start, one instance after the other.
    Rolling,
    /// The object store refuses requests.
    StoreFails,
    /// The object store holds its answers back for longer than the client waits.
    StoreHangs,
    /// The object store does what it is asked and says that it did not.
    StoreLies,
    /// SIGKILL, and a new start, while the object store lies.
    KillUnderLies,
    /// Another process compacts the silver table.
    Compaction,
    /// The disk of the lake is full for a while.
    DiskFull,
    /// Another version is deployed or the earlier one rolled back to, and an instance dies around the order.
    Deploy,
    /// The module is paused and resumed, with a death in between, while another goes on.
    Pause,
    /// The module goes back to an earlier micro-batch and catches up, while another goes on and an instance dies.
    Rewind,
    /// The object store lies, hangs or refuses while one of these orders is given and an instance dies.
    DeployUnderLies,
    /// A shadow runs while an instance dies, and is then promoted or ended.
    Shadow,
    /// Two operators deploy different versions at the same moment.
    TwoOperators,
    /// Dead letters are sent through the module again while an instance dies.
    Redrive,
}

/// What a run can do to its pipeline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means {
    /// The lake is behind the proxy.
    pub(crate) store: bool,
    /// The lake has a disk of its own.
    pub(crate) disk: bool,
    /// How many instances share the work.
    pub(crate) instances: usize,
}

impl Kind {
    /// How often a kind is drawn, beside the others. A broker takes seconds to start again.
    fn weight(self) -> u64 {
        match self {
            Self::KillAtPoint => 40,
            Self::Kill => 15,
            Self::Deploy => 20,
            Self::Redrive | Self::Rewind => 12,
            Self::Pause | Self::Shadow | Self::TwoOperators => 8,
            Self::Zombie
            | Self::Compaction
            | Self::StoreFails
            | Self::StoreLies
            | Self::KillUnderLies
            | Self::DeployUnderLies => 10,
            Self::Restart | Self::DiskFull | Self::StoreHangs | Self::Join | Self::Leave => 6,
            Self::Rolling => 4,
            Self::Broker => 2,
        }
    }

    /// Why a run cannot have this kind; `None` where it can.
    pub(crate) fn missing(self, means: Means) -> Option<&'static str> {
        match self {
            Self::StoreFails | Self::StoreHangs | Self::StoreLies | Self::KillUnderLies | Self::DeployUnderLies => {
                (!means.store).then_some("it needs --lake s3")
            }
            Self::DiskFull => (!means.disk).then_some("it needs --lake file, and root to mount a small disk"),
            Self::Join | Self::Leave | Self::Rolling => {
                (means.instances < 2).then_some("it needs --instances 2 or more")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// A fault with all that the seed decided about it.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Where a process kills itself.
    pub(crate) point: &'static str,
    /// At which pass, for [`Kind::KillAtPoint`].
    pub(crate) pass: u64,
    /// When it begins, after the first record of the round.
    pub(crate) after: Duration,
    /// How long it lasts, where it lasts.
    pub(crate) length: Duration,
}

impl Fault {
    /// The seed's choice among `kinds`.
    pub(crate) fn draw(random: &mut Random, kinds: &[Kind], has_bronze: bool) -> Self {
        let mut drawn = random.between(0, kinds.iter().map(|kind| kind.weight()).sum());
        let mut kind = kinds[0];
        for candidate in kinds {
            kind = *candidate;
            if drawn < kind.weight() {
                break;
            }
            drawn -= kind.weight();
        }
        let point = point(random, kind, has_bronze);
        // These are passed a dozen times a micro-batch, the others once or twice.
        let passes = if matches!(point, "file.written" | "entry.put") { 16 } else { 3 };
        Self {
            kind,
            point,
            pass: random.between(1, passes),
            after: Duration::from_millis(random.between(0, 600)),
            length: Duration::from_millis(random.between(200, 1_200)),
        }
    }
}

/// A point that rounds of a kind may pass: half of the deaths of a rewind are in the taking back itself.
fn point(random: &mut Random, kind: Kind, has_bronze: bool) -> &'static str {
    let is_rewind = kind == Kind::Rewind && random.per_mille(500);
    let is_passed = |point: &&str| !is_of_parking(point) && (has_bronze || !point.starts_with("bronze."));
    let points: Vec<_> =
        POINTS.into_iter().filter(is_passed).filter(|point| is_of_rewind(point) == is_rewind).collect();
    random.choose(&points)
}

/// Whether the point is only passed where a module is parked, which no round does.
fn is_of_parking(point: &str) -> bool {
    point.starts_with("parking.")
}

/// Whether only a rewind passes the point.
pub(crate) fn is_of_rewind(point: &str) -> bool {
    point.starts_with("rewind.")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::KillAtPoint => write!(f, "{}:{}", self.point, self.pass),
            kind => kind.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Means = Means { store: true, disk: true, instances: 3 };

    #[test]
    fn every_kind_and_every_point_is_drawn() {
        let kinds = Kind::value_variants();
        assert!(kinds.iter().all(|kind| kind.missing(ALL).is_none()));
        let drawn: Vec<_> = (0..2_000).map(|round| Fault::draw(&mut Random::of(1, round), kinds, true)).collect();
        for kind in kinds {
            assert!(drawn.iter().any(|fault| fault.kind == *kind), "{kind}");
        }
        for point in POINTS.into_iter().filter(|point| !is_of_parking(point)) {
            let kind = if is_of_rewind(point) { Kind::Rewind } else { Kind::KillAtPoint };
            assert!(drawn.iter().any(|fault| fault.kind == kind && fault.point == point), "{point}");
        }
    }

    #[test]
    fn what_the_run_lacks_is_not_drawn() {
        let none = Means { store: false, disk: false, instances: 1 };
        let lacking: Vec<_> = Kind::value_variants().iter().filter(|kind| kind.missing(none).is_some()).collect();
        assert_eq!(lacking.len(), 9);
    }
}
