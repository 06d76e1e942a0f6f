//! Each server starts, can be killed, and starts again on its port.

use std::net::TcpStream;

use millrace_services::{Nats, Postgres, Smtp, required};

#[test]
fn nats_comes_back_on_its_port() {
    let Some(mut nats) = required(Nats::start()) else { return };
    let address = nats.url().trim_start_matches("nats://").to_owned();
    nats.kill();
    assert!(TcpStream::connect(&address).is_err(), "killed");
    nats.start_again().expect("starts again");
    TcpStream::connect(&address).expect("takes connections");
}

#[test]
fn postgres_comes_back_on_its_port() {
    let Some(mut postgres) = required(Postgres::start()) else { return };
    let url = postgres.url();
    let address = url.trim_start_matches("postgres://millrace@").trim_end_matches("/postgres");
    postgres.kill();
    assert!(TcpStream::connect(address).is_err(), "killed");
    postgres.start_again().expect("starts again");
    TcpStream::connect(address).expect("takes connections");
}

#[test]
fn the_mail_server_comes_back_on_its_port() {
    let Some(mut smtp) = required(Smtp::start()) else { return };
    let address = ("127.0.0.1", smtp.port());
    smtp.kill();
    assert!(TcpStream::connect(address).is_err(), "killed");
    smtp.start_again().expect("starts again");
    TcpStream::connect(address).expect("takes connections");
    assert!(smtp.mails().is_empty());
}
