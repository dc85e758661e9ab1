//! Releases: which module is active under a name, since when and by whose decision.

mod deployments;
mod modules;
mod standing;

pub use deployments::{AppendError, DEPLOYMENTS, Deployment, Deployments};
pub use modules::{FindError, find, store};
pub use standing::{Action, Standing};
