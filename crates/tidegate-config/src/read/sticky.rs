//! Sticky sessions: on, off, or a table.
//!
//! It opens no file and reads no variable itself: secrets are for whoever needs them.

use std::path::PathBuf;

use crate::document::Value;
use crate::problem::Problem;
use crate::read::balance::{bound, token};
use crate::walk::{Section, Walk, set};
use crate::{Holds, Secret, Sticky};

/// The `sticky` of a section; `None` when it says nothing. The name of its cookie is empty when the file gives none.
pub(super) fn sticky(walk: &mut Walk, section: &Section<'_>) -> Option<Option<Sticky>> {
    let field = section.field("sticky")?;
    if field.is_refused() {
        return Some(None);
    }
    let mut sticky = Sticky::default();
    match &field.node.value {
        Value::Boolean(_) => {}
        Value::Table(_) => {
            let table = field.section(walk)?;
            if let Some(field) = table.field("cookie") {
                set(&mut sticky.cookie, token(walk, &field).map(str::to_owned));
            }
            sticky.secret = secret(walk, &table);
            sticky.bound = bound(walk, &table);
            set(&mut sticky.forward, table.boolean(walk, "forward"));
        }
        _ => return field.refuse(walk),
    }
    Some(Some(sticky))
}

fn secret(walk: &mut Walk, table: &Section<'_>) -> Secret {
    let file = table.text(walk, "secret_file").filter(|path| !path.is_empty());
    let variable = table.text(walk, "secret_env").filter(|name| !name.is_empty());
    let kept = match (file, variable) {
        (Some(path), None) => Secret::File(PathBuf::from(path)),
        (None, Some(name)) => Secret::Environment(name.to_owned()),
        (None, None) => return Secret::Made,
        (Some(_), Some(_)) => {
            let title = format!("`{}` takes one of `secret_file` and `secret_env`, not both", table.path);
            walk.report(Problem::error(table.span.clone(), title));
            return Secret::Made;
        }
    };
    if let Some(field) = table.field("secret_file").or_else(|| table.field("secret_env")) {
        field.has_to_hold(walk, Holds::Secret(kept.clone()));
    }
    kept
}
