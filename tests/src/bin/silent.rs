//! Opens so many connections to an address, says nothing on any of them, prints how many there are, and holds them until its input ends.

use std::{
    io::{Read as _, Write as _, stdin, stdout},
    net::TcpStream,
};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (address, count) = (arguments.next(), arguments.next());
    let address = address.unwrap_or_default();
    let count: usize = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        // One that is refused or reset says nothing either.
        open.extend(TcpStream::connect(&address));
    }
    writeln!(stdout(), "{}", open.len())?;
    stdout().flush()?;
    stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}
