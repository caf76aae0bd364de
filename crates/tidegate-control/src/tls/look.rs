//! Whether files hold what they have to, asked before anything starts, so that the answer stands beside the line that names them.

use std::path::Path;
use tidegate_acme::{look_at_key, look_at_root};
use tidegate_config::Holds;

/// The error is why a file does not hold that, for people.
pub fn look(holds: Holds, path: &Path) -> Result<(), String> {
    match holds {
        Holds::Roots => look_at_root(path).map_err(|error| error.to_string()),
        Holds::UpdateKey => look_at_key(path).map_err(|error| error.to_string()),
    }
}
