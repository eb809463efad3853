//! `token URL CODE` enrols a phone and prints what its requests say in `Authorization`, for clients of other languages that
//! speak only tus. It goes in by the front door: a code, a key, a signed assertion.

use kieumau_tests::driver::Driver;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the token is what it is for")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(code)) = (arguments.next(), arguments.next()) else {
        eprintln!("token URL CODE");
        std::process::exit(2);
    };
    println!("{}", Driver::enrol_by(url, &code).await.authorization());
}
