//! Each fault, as a client and a server see it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use tokio::time::Instant;

use super::{Direction, Fault, Proxy};
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

    /// Checks that both directions work.
    fn passes(&mut self, text: &str) -> Result {
        self.client.write_all(text.as_bytes())?;
        assert_eq!(received(&mut self.server, text.len())?, text);
        self.server.write_all(text.as_bytes())?;
        assert_eq!(received(&mut self.client, text.len())?, text);
        Ok(())
    }
}

fn connect(proxy: &Proxy) -> Result<TcpStream> {
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port()))?;
    client.set_read_timeout(Some(SOON))?;
    Ok(client)
}

fn received(stream: &mut TcpStream, length: usize) -> Result<String> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(String::from_utf8(bytes)?)
}

/// Returns the result of one read: a number of bytes, 0 at the end of the stream, or an error.
fn read(stream: &mut TcpStream) -> std::io::Result<usize> {
    stream.read(&mut [0; 64])
}

fn receives_nothing(stream: &mut TcpStream) -> Result {
    stream.set_read_timeout(Some(QUIET))?;
    let result = read(stream);
    assert!(result.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "received {result:?}");
    Ok(stream.set_read_timeout(Some(SOON))?)
}

fn is_reset(stream: &mut TcpStream) {
    let result = read(stream);
    assert!(
        result.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
        "received {result:?}"
    );
}

#[test]
fn without_a_fault_all_bytes_and_the_end_of_a_stream_are_forwarded() -> Result {
    let mut pair = Pair::new()?;
    let text = "x".repeat(300_000);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| received(&mut pair.server, text.len()));
        pair.client.write_all(text.as_bytes())?;
        assert!(thread.join().is_ok_and(|read| read.is_ok_and(|read| read == text)));
        Ok::<_, anyhow::Error>(())
    })?;
    pair.client.shutdown(std::net::Shutdown::Write)?;
    assert_eq!(read(&mut pair.server)?, 0, "the client has closed its direction");
    pair.server.write_all(b"still here")?;
    assert_eq!(received(&mut pair.client, 10)?, "still here");
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
        let thread = scope.spawn(|| received(&mut pair.server, text.len()));
        pair.client.write_all(text.as_bytes())?;
        assert!(thread.join().is_ok_and(|read| read.is_ok_and(|read| read == text)));
        Ok::<_, anyhow::Error>(())
    })?;
    let took = sent_at.elapsed();
    assert!(took >= QUIET, "{took:?} is less than the latency");
    assert!(took < QUIET * 5, "{took:?}: each block waited for the one before");
    pair.proxy.set(Fault::None);
    pair.passes("on time")
}

#[test]
fn closed_closes_open_and_new_connections() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::Closed);
    assert_eq!(read(&mut pair.client)?, 0);
    assert_eq!(read(&mut pair.server)?, 0);
    assert!(matches!(read(&mut connect(&pair.proxy)?), Ok(0) | Err(_)));
    pair.proxy.set(Fault::None);
    again(&mut pair)
}

#[test]
fn reset_resets_both_sides() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::Reset);
    is_reset(&mut pair.client);
    is_reset(&mut pair.server);
    pair.proxy.set(Fault::None);
    again(&mut pair)
}

#[test]
fn black_hole_accepts_connections_forwards_nothing_and_resets_them_at_its_end() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::BlackHole);
    let mut late = connect(&pair.proxy)?;
    late.write_all(b"anybody there?")?;
    pair.client.write_all(b"lost")?;
    receives_nothing(&mut pair.server)?;
    receives_nothing(&mut late)?;
    pair.proxy.set(Fault::None);
    is_reset(&mut pair.client);
    is_reset(&mut late);
    drop(pair.listener.accept()?);
    again(&mut pair)
}

#[test]
fn black_hole_hides_the_end_of_a_stream() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::BlackHole);
    drop(pair.server);
    receives_nothing(&mut pair.client)
}

#[test]
fn connection_without_lost_bytes_survives_a_black_hole() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::BlackHole);
    receives_nothing(&mut pair.client)?;
    pair.proxy.set(Fault::None);
    pair.passes("as if nothing had been")
}

#[test]
fn half_open_loses_one_direction_and_keeps_the_other() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::HalfOpen(Direction::ToServer));
    pair.client.write_all(b"lost")?;
    receives_nothing(&mut pair.server)?;
    pair.server.write_all(b"arrives")?;
    assert_eq!(received(&mut pair.client, 7)?, "arrives");
    Ok(())
}

#[test]
fn cut_forwards_the_request_and_loses_its_response_once() -> Result {
    let mut pair = Pair::new()?;
    pair.proxy.set(Fault::CutAfter(b"COMMIT"));
    pair.passes("select")?;
    // In two pieces, which the proxy reads separately.
    pair.client.write_all(b"insert; COM")?;
    assert_eq!(received(&mut pair.server, 11)?, "insert; COM");
    pair.client.write_all(b"MIT;")?;
    assert_eq!(received(&mut pair.server, 4)?, "MIT;", "the server receives the request");
    pair.server.write_all(b"done")?;
    is_reset(&mut pair.client);
    assert_eq!((pair.proxy.cuts(), pair.proxy.fault()), (1, Fault::None));
    again(&mut pair)?;
    pair.passes("COMMIT")
}

#[test]
fn stopped_server_causes_a_reset() -> Result {
    let Pair { proxy, listener, .. } = Pair::new()?;
    drop(listener);
    let mut client = connect(&proxy)?;
    is_reset(&mut client);
    Ok(())
}

#[test]
fn url_of_the_server_is_rewritten_to_the_proxy() -> Result {
    let proxy = Proxy::to(1234)?;
    let url = proxy.url("postgres://postgres@127.0.0.1:1234/postgres")?;
    assert_eq!(url, format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port()));
    assert!(proxy.url("redis://127.0.0.1:99/0").is_err());
    Ok(())
}

/// Checks that a new connection works.
fn again(pair: &mut Pair) -> Result {
    pair.client = connect(&pair.proxy)?;
    pair.server = pair.listener.accept()?.0;
    pair.server.set_read_timeout(Some(SOON))?;
    pair.passes("again")
}
