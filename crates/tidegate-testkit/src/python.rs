//! Python with packages that no one here wrote: `cargo xtask test` puts them beside what it builds.

use std::path::Path;
use std::process::Command;

use crate::proxy::program;

/// One of the scripts of `e2e/python`.
///
/// # Panics
/// When the packages are not there.
pub fn script(name: &str) -> Command {
    let packages = program().ancestors().nth(2).expect("target/profile/program").join("python-packages");
    assert!(packages.is_dir(), "`cargo xtask test` installs packages of Python in {}", packages.display());
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/python").join(name));
    command.env("PYTHONPATH", packages).env("GRPC_VERBOSITY", "NONE");
    command
}
