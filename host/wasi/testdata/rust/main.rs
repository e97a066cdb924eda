// A program of Rust's standard library, which tries everything that WASI could give it.
use std::collections::HashMap;
use std::io::Read;
use std::{env, fs, net, process, time};

#[no_mangle]
pub extern "C" fn printing() {
    println!("to the output");
    eprintln!("to the errors");
    print!("no end");
    use std::io::Write;
    std::io::stdout().flush().unwrap();
}

#[no_mangle]
pub extern "C" fn surroundings() {
    println!("{} {} {}", env::args().count(), env::vars().count(), env::var("HOME").is_err());
}

#[no_mangle]
pub extern "C" fn opening() {
    for name in ["/etc/passwd", ".", "main.rs", "/dev/stdin"] {
        println!("{name} {}", fs::File::open(name).is_err());
    }
    println!("created {}", fs::write("/tmp/x", b"x").is_ok());
    println!("dialed {}", net::TcpStream::connect("127.0.0.1:80").is_ok());
    println!("read {}", std::io::stdin().read(&mut [0; 10]).unwrap());
}

// A map's order depends on random numbers.
#[no_mangle]
pub extern "C" fn random() -> i64 {
    let map: HashMap<u32, u32> = (0..64).map(|n| (n, n)).collect();
    map.keys().fold(0, |sum: i64, n| sum.wrapping_mul(67).wrapping_add(i64::from(*n)))
}

#[no_mangle]
pub extern "C" fn now() -> i64 {
    time::SystemTime::now().duration_since(time::UNIX_EPOCH).unwrap().as_nanos() as i64
}

#[no_mangle]
pub extern "C" fn exiting(code: i32) {
    process::exit(code)
}
