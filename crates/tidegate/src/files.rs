//! Where the configuration is, and reading it. Knows no keys.

use crate::outcome::Failure;
use std::path::{Path, PathBuf};
use tidegate_config::{Config, Look, Warning};

/// Looked for in this order when nobody names a file.
const PLACES: [&str; 2] = ["./tidegate.toml", "/etc/tidegate/tidegate.toml"];

/// The file that is named, or the first one that is there.
pub(crate) fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let there = PLACES.into_iter().find(|place| Path::new(place).exists());
    there.map(PathBuf::from).ok_or_else(|| Failure::NoFile { tried: PLACES.map(str::to_owned).to_vec() })
}

/// With a look into the files that it names. How old certificates are is said by whoever keeps them.
pub(crate) fn read(path: &Path) -> Result<(Config, Vec<Warning>), Failure> {
    parse(path, &|holds| tidegate_control::look(holds).map(|_| None))
}

/// The same, and how old certificates are.
pub(crate) fn read_closely(path: &Path) -> Result<(Config, Vec<Warning>), Failure> {
    parse(path, &tidegate_control::look)
}

/// Alone: the files that it names may be on another machine.
pub(crate) fn read_alone(path: &Path) -> Result<Config, Failure> {
    parse(path, &|_| Ok(None)).map(|(config, _)| config)
}

fn parse(path: &Path, look: Look<'_>) -> Result<(Config, Vec<Warning>), Failure> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|source| Failure::Unreadable { file: file.clone(), source })?;
    let environment = |name: &str| std::env::var(name).ok();
    Ok(Config::parse_bytes(&file, &bytes, &environment, look)?)
}
