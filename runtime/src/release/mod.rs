//! Releases: which module is active under a name, since when and by whose decision; whether the tables can follow, and what another module
//! makes of the same events.

pub mod compare;
pub mod compat;
mod deployments;
mod modules;
mod outcome;
mod standing;
mod trial;

pub use compat::Compatibility;
pub use deployments::{AppendError, DEPLOYMENTS, Deployment, Deployments};
pub use modules::{FindError, find, find_as, store};
pub use outcome::{Cost, Dead, Outcome, Rows, Stopped};
pub use standing::{Action, Standing, Target};
pub use trial::{Trial, TrialError};
