//! A whole proxy in this process, over real sockets on loopback: starting, reloading, checking, watching, ending.

#![allow(clippy::unwrap_used, reason = "in tests")]

mod admin;
mod drain;
mod health;
mod reload;

use std::sync::{Arc, Mutex};
use tidegate_config::Config;
use tidegate_control::{AdminChoice, Control, EndpointStatus, Options, StartError, Voice};
use tidegate_testkit::{Client, Endpoint, Reply, eventually};

/// What was said, line by line.
#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn voice(&self) -> Voice {
        let heard = Arc::clone(&self.0);
        Voice::new(move |_, line| heard.lock().unwrap().push(line.to_owned()))
    }

    fn has(&self, text: &str) -> bool {
        self.0.lock().unwrap().iter().any(|line| line.contains(text))
    }
}

struct World {
    control: Control,
    heard: Heard,
}

fn config(text: &str) -> Config {
    match Config::parse("test", text, &|_| None) {
        Ok((config, _)) => config,
        Err(report) => panic!("{report}"),
    }
}

/// One worker, any port for clients, any port for the admin listener, and this.
fn text(more: &str) -> String {
    format!("listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nworkers = 1\n{more}")
}

fn to(endpoints: &[&Endpoint], more: &str) -> String {
    let list: Vec<_> = endpoints.iter().map(|endpoint| format!("{:?}", endpoint.address())).collect();
    text(&format!("to = [{}]\n{more}", list.join(", ")))
}

/// A GET as a program on this machine sends it.
fn ask(admin: &str, target: &str) -> Reply {
    let mut client = Client::connect(admin.parse().unwrap());
    client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    client.reply()
}

impl World {
    fn start(text: &str) -> Self {
        Self::try_start(text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_start(text: &str) -> Result<Self, StartError> {
        let heard = Heard::default();
        let options = Options { voice: heard.voice(), admin: AdminChoice::Exactly };
        Ok(Self { control: Control::start(config(text), options)?, heard })
    }

    fn reload(&mut self, text: &str) -> Result<(), StartError> {
        self.control.reload(config(text))
    }

    /// The address of the listener at this position.
    fn address(&self, position: usize) -> String {
        self.control.status().listeners[position].address.clone()
    }

    fn client(&self) -> Client {
        Client::connect(self.address(0).parse().unwrap())
    }

    fn get(&self) -> Reply {
        self.client().get("/")
    }

    fn admin(&self, target: &str) -> Reply {
        ask(&self.control.admin_address().expect("an admin listener"), target)
    }

    fn endpoint(&self, position: usize) -> EndpointStatus {
        self.control.status().clusters[0].endpoints[position].clone()
    }

    fn wait_for_health(&self, position: usize, health: &str) {
        eventually(health, || self.endpoint(position).health == health);
    }
}
