//! What the demo's shop sells, to whom, and at which price.

use super::random::Random;

const COLOURS: [&str; 10] = ["RED", "IVORY", "GREEN", "BLUE", "PINK", "SILVER", "WOODEN", "GLASS", "VINTAGE", "RETRO SPOT"];
const THINGS: [&str; 20] = [
    "TEA TOWEL", "LANTERN", "CAKE STAND", "LUNCH BOX", "BUNTING", "DOORMAT", "ALARM CLOCK", "PICTURE FRAME", "CANDLE HOLDER",
    "JAM JAR", "MUG", "NOTEBOOK", "UMBRELLA", "CUSHION", "COAT RACK", "BISCUIT TIN", "FAIRY LIGHTS", "TEAPOT", "BIRD HOUSE",
    "SHOPPING BAG",
];

/// Countries and how many in ten thousand invoices come from them.
pub(super) const COUNTRIES: [(&str, u64); 20] = [
    ("United Kingdom", 8_900),
    ("Germany", 230),
    ("France", 210),
    ("EIRE", 170),
    ("Spain", 65),
    ("Netherlands", 60),
    ("Belgium", 52),
    ("Switzerland", 50),
    ("Portugal", 40),
    ("Australia", 35),
    ("Norway", 30),
    ("Italy", 28),
    ("Channel Islands", 25),
    ("Finland", 22),
    ("Cyprus", 20),
    ("Sweden", 18),
    ("Austria", 15),
    ("Denmark", 14),
    ("Japan", 10),
    ("USA", 6),
];

/// Something on sale.
#[derive(Debug, Clone)]
pub(super) struct Article {
    /// Five digits, some with a letter, as on the label.
    pub(super) code: String,
    /// What it is.
    pub(super) name: String,
    /// The price, in pence; it never changes.
    pub(super) pence: u64,
}

/// The 200 articles of the shop that `random` opens.
pub(super) fn articles(random: &mut Random) -> Vec<Article> {
    let mut articles = Vec::with_capacity(COLOURS.len() * THINGS.len());
    for thing in THINGS {
        for colour in COLOURS {
            let number = 20_000 + articles.len() * 37;
            let letter = if random.chance(200) { "B" } else { "" };
            // Mostly between 0.42 and 8.50, now and then a piece of furniture.
            let pence = if random.chance(50) { random.between(1_295, 9_995) } else { random.between(42, 850) };
            articles.push(Article { code: format!("{number}{letter}"), name: format!("{colour} {thing}"), pence });
        }
    }
    articles
}

/// One of some 4,000 customers; a customer stays in one country.
pub(super) fn customer(random: &mut Random) -> (u32, &'static str) {
    let id = 12_346 + u32::try_from(random.skewed(4_000)).expect("a customer's number is small");
    let country = Random::new(u64::from(id)).weighted(&COUNTRIES).to_owned();
    (id, country)
}
