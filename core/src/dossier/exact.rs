//! Reading CBOR that has one spelling: what is read has to be written again as the same bytes, to the last.

use super::proof::{Broken, What};

/// The value that `bytes` are the one encoding of.
pub(super) fn exact<'a, T>(bytes: &'a [u8]) -> Result<T, Broken>
where
    T: minicbor::Decode<'a, ()> + minicbor::Encode<()>,
{
    let broken = || Broken::new(What::Format, "");
    let value: T = minicbor::decode(bytes).map_err(|_| broken())?;
    let mut left = Expected(bytes);
    minicbor::encode(&value, &mut left).map_err(|_| broken())?;
    if left.0.is_empty() {
        Ok(value)
    } else {
        Err(broken())
    }
}

/// Takes what is written only if it is what was read: contents of any size are compared without a copy.
struct Expected<'a>(&'a [u8]);

/// Something else was written.
#[derive(Debug)]
struct Differs;

impl minicbor::encode::Write for Expected<'_> {
    type Error = Differs;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Differs> {
        self.0 = self.0.strip_prefix(bytes).ok_or(Differs)?;
        Ok(())
    }
}
