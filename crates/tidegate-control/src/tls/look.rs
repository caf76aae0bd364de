//! Whether files hold what they have to, asked before anything starts, so that the answer stands beside the line that names them.

use super::clients::Clients;
use super::files::load;
use tidegate_acme::{look_at_key, look_at_root};
use tidegate_config::Holds;

/// The error is why files do not hold that, for people.
pub fn look(holds: &Holds) -> Result<(), String> {
    match holds {
        Holds::Certificate(files) => load(files).map(drop).map_err(|error| error.to_string()),
        Holds::Clients(auth) => Clients::load(auth).map(drop).map_err(|error| error.to_string()),
        Holds::Roots(path) => look_at_root(path).map_err(|error| error.to_string()),
        Holds::UpdateKey(path) => look_at_key(path).map_err(|error| error.to_string()),
    }
}
