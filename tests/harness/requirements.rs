//! What a case needs from the machine, and what to install where it is missing.

use crate::{command, minio, retail};
use std::process::Command;
use std::sync::OnceLock;

/// Something that not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A Java runtime and Maven, for the real Kafka.
    Kafka,
    /// Go, with which the S3 server is built.
    Minio,
    /// Python with `venv`, for the other engines that read the tables.
    Python,
    /// The Online Retail data set.
    RetailData,
}

impl Need {
    /// What to do about it, if it is missing.
    #[must_use]
    pub fn remedy(self) -> Option<&'static str> {
        static KAFKA: OnceLock<bool> = OnceLock::new();
        static PYTHON: OnceLock<bool> = OnceLock::new();
        static MINIO: OnceLock<bool> = OnceLock::new();
        let (present, remedy) = match self {
            Self::Kafka => {
                let tools = [("java", "-version"), ("mvn", "-version")];
                let present = || tools.iter().all(|(tool, version)| command::works(Command::new(tool).arg(version)));
                (
                    *KAFKA.get_or_init(present),
                    "install Java 17 and Maven (apt-get install openjdk-17-jre-headless maven)",
                )
            }
            Self::Minio => (
                *MINIO.get_or_init(|| minio::is_built() || minio::go().is_some()),
                "install Go 1.21 or newer from https://go.dev/dl (it fetches the version that MinIO wants)",
            ),
            Self::Python => {
                let present = || command::works(Command::new("python3").args(["-c", "import venv, ensurepip"]));
                (*PYTHON.get_or_init(present), "install Python with venv (apt-get install python3-venv)")
            }
            Self::RetailData => (
                retail::folder().is_some(),
                "put the Online Retail data set (online_retail.csv.gz and answers.json) into a folder online_retail and \
                 name the folder above it in LAKEWARD_DATA",
            ),
        };
        (!present).then_some(remedy)
    }
}

/// What is missing of `needs`, as one sentence; `None` if nothing is.
#[must_use]
pub fn missing(needs: &[Need]) -> Option<String> {
    let remedies: Vec<_> = needs.iter().filter_map(|need| need.remedy()).collect();
    (!remedies.is_empty()).then(|| remedies.join("; "))
}
