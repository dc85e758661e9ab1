//! Where dead letters are looked after: in the lake, by whoever may read and write it, or through a running pipeline.

use super::super::release::Client;
use super::super::{Error, verify};
use super::args::{Given, PlaceArgs};
use crate::config::Config;
use crate::serve::orders::Released;
use crate::sink::Warehouse;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Who is asked.
pub(super) enum Place {
    /// A running pipeline.
    Server(Server),
    /// The lake itself.
    Lake(Box<Config>, Warehouse),
}

/// A running pipeline.
pub(super) struct Server(Client);

#[derive(Deserialize)]
struct Modules {
    modules: Vec<Released>,
}

impl Place {
    /// A server that was named comes before a configuration, since that may stand in the environment.
    pub(super) fn of(args: &PlaceArgs) -> Result<Self, Error> {
        let known = || std::env::var("LAKEWARD_SERVER").ok().filter(|server| !server.trim().is_empty());
        match (&args.server, &args.config) {
            (Some(server), _) => Ok(Self::Server(Server(Client::of(server)?))),
            (None, Some(config)) => {
                let config = Config::load(config)?;
                let lake = verify::open_lake(&config)?;
                Ok(Self::Lake(Box::new(config), lake))
            }
            (None, None) => match known() {
                Some(server) => Ok(Self::Server(Server(Client::of(&server)?))),
                None => Err(Error::Argument {
                    reason: "say where the letters are: --config FILE for the lake itself, or --server URL for a running pipeline"
                        .to_owned(),
                }),
            },
        }
    }
}

impl Server {
    pub(super) fn get<T: DeserializeOwned>(&self, what: &str, given: &Given) -> Result<T, Error> {
        let path = self.path(what, given)?;
        Ok(self.0.get_as_operator(&path, &given.pairs().collect::<Vec<_>>())?)
    }

    pub(super) fn post<T: DeserializeOwned>(&self, what: &str, given: &Given) -> Result<T, Error> {
        let path = self.path(what, given)?;
        Ok(self.0.post(&path, &given.pairs().collect::<Vec<_>>(), Vec::new())?)
    }

    /// Letters are asked for module by module: an operator may have the right to look at those of one and not of another.
    fn path(&self, what: &str, given: &Given) -> Result<String, Error> {
        let named = given.pairs().find(|(name, _)| *name == "module").map(|(_, module)| module.to_owned());
        let module = match named {
            Some(module) => module,
            None => self.only_module()?,
        };
        let module: String = url::form_urlencoded::byte_serialize(module.as_bytes()).collect();
        Ok(format!("/v1/modules/{module}/dead-letters{what}"))
    }

    fn only_module(&self) -> Result<String, Error> {
        let Modules { mut modules } = self.0.get("/v1/modules")?;
        match modules.as_mut_slice() {
            [only] => Ok(std::mem::take(&mut only.module)),
            several => {
                let names: Vec<&str> = several.iter().map(|of| of.module.as_str()).collect();
                Err(Error::Argument { reason: format!("say whose letters: --module is one of {}", names.join(", ")) })
            }
        }
    }
}
