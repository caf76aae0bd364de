//! `tidegate config`: the effective configuration, and the schema.

use crate::arguments::{ConfigArguments, ConfigCommand};
use crate::files;
use crate::outcome::Failure;
use crate::terminal;

pub(crate) fn config(arguments: &ConfigArguments) -> Result<(), Failure> {
    match &arguments.command {
        ConfigCommand::Schema => terminal::print(&format!("{:#}", tidegate_config::schema()))?,
        ConfigCommand::Show(file) => {
            let config = files::read_alone(&files::find(file.path.as_deref())?)?;
            terminal::print(&config.to_toml(tidegate_control::request_limit(&config)))?;
        }
    }
    Ok(())
}
