//! Each fault as a client and a server see it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use tokio::time::Instant;

use super::{Fault, Proxy, Way};
use crate::Result;
use crate::wait::eventually;

const SOON: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_millis(300);

/// A client and a server with the proxy between them.
struct Pair {
    proxy: Proxy,
    listener: TcpListener,
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    fn new() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let proxy = Proxy::to(listener.local_addr()?.port())?;
        let client = connect(&proxy)?;
        let server = listener.accept()?.0;
        server.set_read_timeout(Some(SOON))?;
        let mut pair = Self { proxy, listener, client, server };
        pair.passes("hello")?;
        Ok(pair)
    }

    /// Both ways are open.
    fn passes(&mut self, text: &str) -> Result {
        self.client.write_all(text.as_bytes())?;
        assert_eq!(said(&mut self.server, text.len())?, text);
        self.server.write_all(text.as_bytes())?;
        assert_eq!(said(&mut self.client, text.len())?, text);
        Ok(())
    }
}

fn connect(proxy: &Proxy) -> Result<TcpStream> {
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port()))?;
    client.set_read_timeout(Some(SOON))?;
    Ok(client)
}

fn said(stream: &mut TcpStream, length: usize) -> Result<String> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(String::from_utf8(bytes)?)
}

/// What a read comes to: bytes, 0 for an end in good order, or an error.
fn read(stream: &mut TcpStream) -> std::io::Result<usize> {
    stream.read(&mut [0; 64])
}

fn hears_nothing(stream: &mut TcpStream) -> Result {
    stream.set_read_timeout(Some(QUIET))?;
    let heard = read(stream);
    assert!(heard.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "heard {heard:?}");
    Ok(stream.set_read_timeout(Some(SOON))?)
}

fn is_reset(stream: &mut TcpStream) {
    let heard = read(stream);
    assert!(heard.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "heard {heard:?}");
}

#[test]
fn without_a_fault_everything_passes_and_an_end_is_an_end() -> Result {
    let mut pair = Pair::new()?;
    let text = "x".repeat(300_000);
    std::thread::scope(|scope| {
        let heard = scope.spawn(|| said(&mut pair.server, text.len()));
        pair.client.write_all(text.as_bytes())?;
        assert!(heard.join().is_ok_and(|heard| heard.is_ok_and(|heard| heard == text)));
        Ok::<_, anyhow::Error>(())
    })?;
    pair.client.shutdown(std::net::Shutdown::Write)?;
    assert_eq!(read(&mut pair.server)?, 0, "the client has said all");
    pair.server.write_all(b"still here")?;
    assert_eq!(said(&mut pair.client, 10)?, "still here");
    drop(pair.server);
    assert_eq!(read(&mut pair.client)?, 0);
    eventually("the connection is no longer counted", SOON, || Ok((pair.proxy.open() == 0).then_some(())))?;
    assert_eq!(pair.proxy.accepted(), 1);
    Ok(())
}

#[test]
fn latency_delays_each_byte_and_loses_none() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::Latency(QUIET));
    let (text, sent_at) = ("x".repeat(300_000), Instant::now());
    std::thread::scope(|scope| {
        let heard = scope.spawn(|| said(&mut pair.server, text.len()));
        pair.client.write_all(text.as_bytes())?;
        assert!(heard.join().is_ok_and(|heard| heard.is_ok_and(|heard| heard == text)));
        Ok::<_, anyhow::Error>(())
    })?;
    let took = sent_at.elapsed();
    assert!(took >= QUIET, "{took:?} is too early");
    assert!(took < QUIET * 5, "{took:?}: each chunk waited for the one before");
    pair.proxy.set(Fault::None);
    pair.passes("on time")
}

#[test]
fn closed_ends_what_is_open_and_what_comes() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::Closed);
    assert_eq!(read(&mut pair.client)?, 0);
    assert_eq!(read(&mut pair.server)?, 0);
    assert!(matches!(read(&mut connect(&pair.proxy)?), Ok(0) | Err(_)));
    pair.proxy.set(Fault::None);
    again(&mut pair)
}

#[test]
fn reset_is_a_reset_on_both_sides() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::Reset);
    is_reset(&mut pair.client);
    is_reset(&mut pair.server);
    pair.proxy.set(Fault::None);
    again(&mut pair)
}

#[test]
fn a_black_hole_accepts_and_says_nothing_and_its_connections_do_not_live_on() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::BlackHole);
    let mut late = connect(&pair.proxy)?;
    late.write_all(b"anybody there?")?;
    pair.client.write_all(b"lost")?;
    hears_nothing(&mut pair.server)?;
    hears_nothing(&mut late)?;
    pair.proxy.set(Fault::None);
    is_reset(&mut pair.client);
    is_reset(&mut late);
    drop(pair.listener.accept()?);
    again(&mut pair)
}

#[test]
fn a_black_hole_hides_an_end_as_well() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::BlackHole);
    drop(pair.server);
    hears_nothing(&mut pair.client)
}

#[test]
fn a_connection_that_lost_nothing_outlives_a_black_hole() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::BlackHole);
    hears_nothing(&mut pair.client)?;
    pair.proxy.set(Fault::None);
    pair.passes("as if nothing had been")
}

#[test]
fn half_open_loses_one_way_and_keeps_the_other() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::HalfOpen(Way::ToServer));
    pair.client.write_all(b"lost")?;
    hears_nothing(&mut pair.server)?;
    pair.server.write_all(b"arrives")?;
    assert_eq!(said(&mut pair.client, 7)?, "arrives");
    Ok(())
}

#[test]
fn a_cut_lets_the_request_pass_and_loses_its_answer_once() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::CutAfter(b"COMMIT"));
    pair.passes("select")?;
    // In two pieces, which the proxy reads one by one.
    pair.client.write_all(b"insert; COM")?;
    assert_eq!(said(&mut pair.server, 11)?, "insert; COM");
    pair.client.write_all(b"MIT;")?;
    assert_eq!(said(&mut pair.server, 4)?, "MIT;", "the server is to do it");
    pair.server.write_all(b"done")?;
    is_reset(&mut pair.client);
    assert_eq!((pair.proxy.cuts(), pair.proxy.fault()), (1, Fault::None));
    again(&mut pair)?;
    pair.passes("COMMIT")
}

#[test]
fn a_server_that_is_gone_is_a_reset() -> Result {
    let Pair { proxy, listener, .. } = Pair::new()?;
    drop(listener);
    let mut client = connect(&proxy)?;
    is_reset(&mut client);
    Ok(())
}

#[test]
fn a_url_is_led_through_it() -> Result {
    let proxy = Proxy::to(1234)?;
    let url = proxy.url("postgres://postgres@127.0.0.1:1234/postgres")?;
    assert_eq!(url, format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port()));
    assert!(proxy.url("redis://127.0.0.1:99/0").is_err());
    Ok(())
}

/// A new connection goes through.
fn again(pair: &mut Pair) -> Result {
    pair.client = connect(&pair.proxy)?;
    pair.server = pair.listener.accept()?.0;
    pair.server.set_read_timeout(Some(SOON))?;
    pair.passes("again")
}
