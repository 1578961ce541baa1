//! Taking the census for many at once: five hundred plugins stopping together need a few passes over `/proc`, not
//! hundreds.

use std::{io, sync::Arc};

use tokio::{sync::Mutex, time::Instant};

use crate::runtime::census::Census;

/// Takes the census and shares it.
#[derive(Debug)]
pub(in crate::runtime) struct CensusTaker {
    take: fn() -> io::Result<Census>,
    last: Mutex<Option<(Instant, Arc<Census>)>>,
}

impl CensusTaker {
    /// One that counts like this: [`Census::take`] but in tests.
    pub(in crate::runtime) fn new(take: fn() -> io::Result<Census>) -> Self {
        Self { take, last: Mutex::default() }
    }

    /// A census that began after this call.
    ///
    /// # Errors
    /// As [`Census::take`].
    pub(in crate::runtime) async fn take(&self) -> io::Result<Arc<Census>> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((_, census)) = last.as_ref().filter(|(began, _)| *began >= asked) {
            return Ok(Arc::clone(census));
        }
        let began = Instant::now();
        let census = Arc::new(tokio::task::spawn_blocking(self.take).await??);
        *last = Some((began, Arc::clone(&census)));
        Ok(census)
    }
}
