mod first {
    lakeward_sdk::module!(transforms = [clean]);
}

mod second {
    lakeward_sdk::module!(owner = "retail", transform = [clean]);
}

mod third {
    lakeward_sdk::module!(owner = "retail", transforms = []);
}

fn main() {}
