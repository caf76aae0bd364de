//! Whether files hold what TLS needs of them.

use super::clients::Clients;
use super::files::{chain, load};
use super::keeper::now;
use super::lapse::Lapse;
use tidegate_acme::{look_at_key, look_at_root};
use tidegate_config::Holds;

/// The error is why files do not hold that, for people; what is remarkable though they do, that something has had its time, comes back.
pub(crate) fn look(holds: &Holds) -> Result<Option<String>, String> {
    match holds {
        Holds::Certificate(files) => {
            let loaded = load(files).map_err(|error| error.to_string())?;
            Ok(loaded.validity.remark(now()).map(|remark| format!("{} {remark}", files.cert.display())))
        }
        Holds::Clients(auth) => {
            let clients = Clients::load(auth).map_err(|error| error.to_string())?;
            Ok(remarks(&clients.lapses))
        }
        Holds::Roots(path) => {
            look_at_root(path).map_err(|error| error.to_string())?;
            let roots = chain(path).map_err(|error| error.to_string())?;
            Ok(remarks(Lapse::of_authorities(path, &roots).as_slice()))
        }
        Holds::UpdateKey(path) => look_at_key(path).map(|()| None).map_err(|error| error.to_string()),
        Holds::Lines(_) | Holds::Secret(_) => Ok(None), // not of TLS
    }
}

fn remarks(lapses: &[Lapse]) -> Option<String> {
    let now = now();
    let said: Vec<_> = lapses.iter().filter_map(|lapse| lapse.remark(now)).collect();
    (!said.is_empty()).then(|| said.join(", and "))
}
