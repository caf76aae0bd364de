//! Whether files hold what they have to, asked before anything starts, so that the answer stands beside the line that names them.

use super::clients::Clients;
use super::files::load;
use super::keeper::now;
use tidegate_acme::{look_at_key, look_at_root};
use tidegate_config::Holds;

/// The error is why files do not hold that, for people; what is remarkable though they do, a certificate's age, comes back.
pub fn look(holds: &Holds) -> Result<Option<String>, String> {
    match holds {
        Holds::Certificate(files) => {
            let loaded = load(files).map_err(|error| error.to_string())?;
            Ok(loaded.validity.remark(now()).map(|remark| format!("{} {remark}", files.cert.display())))
        }
        Holds::Clients(auth) => Clients::load(auth).map(|_| None).map_err(|error| error.to_string()),
        Holds::Roots(path) => look_at_root(path).map(|()| None).map_err(|error| error.to_string()),
        Holds::UpdateKey(path) => look_at_key(path).map(|()| None).map_err(|error| error.to_string()),
    }
}
