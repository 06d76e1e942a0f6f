//! Who pays whom: consumes settings, produces customers and merchants, and the everyday payment of a
//! customer at a moment. Some 50 bytes per customer and 25 per merchant, made once.

use super::{
    catalogue::{ABROAD, CATEGORIES, Category, DIGITAL_GOODS, TRANSFER_MCC},
    episode::{Draft, Story},
    payment::{Account, Channel, Country, Device},
    rng::{Rng, mix32, mix64},
    season::hour_of_day,
    settings::Settings,
};

/// Index of the home country.
pub(super) const HOME: u8 = 0;
const FAVOURITES: usize = 6;
/// Of the favourites, how many are sites; the others are stores nearby.
const FAVOURITE_SITES: usize = 2;
/// Share of everyday purchases that go to a favourite.
const FAVOURITE_SHARE: f64 = 0.75;
const FRIENDS: u64 = 5;
/// However fast the growth, so many customers are there from the start.
const PRESENT_MIN: u64 = 50;
/// A customer has so many device numbers, of which one or two are in use.
const DEVICES: u32 = 8;
const TERMINALS: u32 = 4;

#[derive(Debug)]
struct Customer {
    favourites: [u32; FAVOURITES],
    home: (u16, u16),
    country: u8,
    /// How often this customer pays: 1 to 8.
    activity: u8,
    /// How many devices are in use.
    devices: u8,
    /// The oldest device in use; a new one makes it the next.
    device_oldest: u8,
    /// What this customer's amounts are multiplied by.
    spending: f32,
    away_country: u8,
    away_until_s: u64,
}

#[derive(Debug)]
struct Merchant {
    place: (u16, u16),
    category: u8,
    country: u8,
    /// What the category's amounts are multiplied by.
    price: f32,
}

/// All customers and merchants.
#[derive(Debug)]
pub(super) struct World {
    seed: u64,
    customers: Vec<Customer>,
    merchants: Vec<Merchant>,
    /// Stores and cash machines of each country; those in front are the most visited.
    stores: Vec<Vec<u32>>,
    /// Merchants that sell from afar.
    sites: Vec<u32>,
    /// Merchants where much is spent at once.
    expensive: Vec<u32>,
    /// Merchants of digital goods.
    digital: Vec<u32>,
    home_country: [u8; 2],
    transfer_share: f64,
}

impl World {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut rng = Rng::new(settings.seed, 1);
        let mut home_country = [0; 2];
        home_country.copy_from_slice(settings.home_country.as_bytes());
        let mut world = Self {
            seed: settings.seed,
            customers: Vec::new(),
            merchants: Vec::new(),
            stores: vec![Vec::new(); ABROAD.len() + 1],
            sites: Vec::new(),
            expensive: Vec::new(),
            digital: Vec::new(),
            home_country,
            transfer_share: settings.transfer_share,
        };
        for index in 0..settings.merchants_resolved() {
            world.add_merchant(&mut rng, index, settings.abroad_share);
        }
        let customers = settings.customers_resolved();
        world.customers.reserve_exact(customers as usize);
        for _ in 0..customers {
            let customer = world.new_customer(&mut rng, settings.abroad_share);
            world.customers.push(customer);
        }
        world
    }

    fn add_merchant(&mut self, rng: &mut Rng, index: u32, abroad_share: f64) {
        // At least one of each category, at home.
        let (category, country) = match CATEGORIES.get(index as usize) {
            Some(_) => (index as usize, HOME),
            None => (draw_category(rng), draw_country(rng, abroad_share)),
        };
        let kind = &CATEGORIES[category];
        match kind.channel {
            Channel::CardNotPresent => self.sites.push(index),
            _ => self.stores[usize::from(country)].push(index),
        }
        if kind.expensive {
            self.expensive.push(index);
        }
        if kind.mcc == DIGITAL_GOODS {
            self.digital.push(index);
        }
        let place = draw_place(rng);
        let price = rng.factor(0.4) as f32;
        self.merchants.push(Merchant { place, category: category as u8, country, price });
    }

    fn new_customer(&self, rng: &mut Rng, abroad_share: f64) -> Customer {
        let country = draw_country(rng, abroad_share);
        let home = draw_place(rng);
        let mut favourites = [0; FAVOURITES];
        let (stores, sites) = favourites.split_at_mut(FAVOURITES - FAVOURITE_SITES);
        for favourite in stores {
            *favourite = self.store_nearby(rng, country, home, 6);
        }
        for favourite in sites {
            *favourite = self.sites[rng.index_skewed(self.sites.len())];
        }
        Customer {
            favourites,
            home,
            country,
            activity: 1 + rng.index_skewed(8) as u8,
            devices: 1 + u8::from(rng.chance(0.4)),
            device_oldest: 0,
            spending: rng.factor(0.7) as f32,
            away_country: 0,
            away_until_s: 0,
        }
    }

    /// The nearest of some stores of a country; a site where the country has no stores.
    fn store_nearby(&self, rng: &mut Rng, country: u8, at: (u16, u16), tries: u32) -> u32 {
        let stores = &self.stores[usize::from(country)];
        if stores.is_empty() {
            return self.sites[rng.index_skewed(self.sites.len())];
        }
        let distance = |store: u32| {
            let place = self.merchants[store as usize].place;
            let (x, y) = (u64::from(place.0.abs_diff(at.0)), u64::from(place.1.abs_diff(at.1)));
            x * x + y * y
        };
        let mut nearest = stores[rng.index_skewed(stores.len())];
        for _ in 1..tries {
            let other = stores[rng.index_skewed(stores.len())];
            if distance(other) < distance(nearest) {
                nearest = other;
            }
        }
        nearest
    }

    /// How many customers there are when so much of the growth has happened.
    fn present(&self, grown: f64) -> u64 {
        let all = self.customers.len() as u64;
        ((grown * all as f64) as u64).clamp(all.min(PRESENT_MIN), all)
    }

    /// Any customer who is there.
    pub(super) fn any_customer(&self, rng: &mut Rng, grown: f64) -> u32 {
        rng.below(self.present(grown)) as u32
    }

    /// A customer who is there, the more likely the more often they pay.
    pub(super) fn paying_customer(&self, rng: &mut Rng, grown: f64) -> u32 {
        let present = self.present(grown);
        // Nobody is refused forever: activity is at least 1 of 8.
        loop {
            let customer = rng.below(present) as u32;
            if rng.below(8) < u64::from(self.customers[customer as usize].activity) {
                return customer;
            }
        }
    }

    /// One of the customers whom a customer sends money to, the same few each time.
    pub(super) fn friend(&self, rng: &mut Rng, customer: u32, grown: f64) -> u32 {
        let present = self.present(grown);
        let nth = rng.below(FRIENDS);
        let friend = mix64(self.seed ^ (u64::from(customer) * FRIENDS + nth)) % present;
        if friend == u64::from(customer) { ((friend + 1) % present) as u32 } else { friend as u32 }
    }

    /// What a customer does at a moment, when nothing is unusual.
    pub(super) fn everyday(&self, rng: &mut Rng, customer: u32, at_s: u64, grown: f64) -> Draft {
        if rng.chance(self.transfer_share) {
            let friend = self.friend(rng, customer, grown);
            let amount = 40.0 * self.spending(customer) * rng.factor(1.3);
            // People send round sums.
            let step = if amount > 40.0 { 10.0 } else { 5.0 };
            return self.transfer(rng, customer, friend, rounded(amount, step));
        }
        let merchant = self.merchant_open(rng, customer, at_s);
        self.purchase(rng, customer, merchant, 1.0)
    }

    /// A merchant that the customer goes to at a moment, open then.
    fn merchant_open(&self, rng: &mut Rng, customer: u32, at_s: u64) -> u32 {
        let who = &self.customers[customer as usize];
        let hour = hour_of_day(at_s);
        let away = at_s < who.away_until_s;
        for _ in 0..3 {
            let merchant = if away {
                self.store_in(rng, who.away_country)
            } else if rng.chance(FAVOURITE_SHARE) {
                who.favourites[rng.index(FAVOURITES).min(rng.index(FAVOURITES))]
            } else if rng.chance(0.6) {
                self.store_nearby(rng, who.country, who.home, 3)
            } else {
                self.sites[rng.index_skewed(self.sites.len())]
            };
            let kind = self.category(merchant);
            if (kind.open..kind.close).contains(&hour) {
                return merchant;
            }
        }
        self.sites[rng.index_skewed(self.sites.len())]
    }

    /// A purchase of a usual amount times `dearer`, by the customer's own hand.
    pub(super) fn purchase(
        &self,
        rng: &mut Rng,
        customer: u32,
        merchant: u32,
        dearer: f64,
    ) -> Draft {
        let kind = self.category(merchant);
        let price = kind.price * f64::from(self.merchants[merchant as usize].price);
        let amount = price * self.spending(customer) * rng.factor(kind.spread) * dearer;
        self.payment_to(rng, customer, merchant, rounded(amount, kind.step))
    }

    /// A payment of this amount to a merchant, by the customer's own hand.
    pub(super) fn payment_to(
        &self,
        rng: &mut Rng,
        customer: u32,
        merchant: u32,
        amount: f64,
    ) -> Draft {
        let kind = self.category(merchant);
        let here = kind.channel != Channel::CardNotPresent;
        let (device, ip, country) = if here {
            (self.terminal(rng, merchant), 0, self.merchants[merchant as usize].country)
        } else {
            let who = &self.customers[customer as usize];
            (self.own_device(rng, customer), self.own_address(rng, customer), who.country)
        };
        Draft {
            payer: Account::customer(customer),
            payee: Account::merchant(merchant),
            amount,
            device,
            ip,
            country,
            mcc: kind.mcc,
            channel: kind.channel,
            story: Story::Everyday,
        }
    }

    /// A transfer of this amount by the customer's own hand.
    pub(super) fn transfer(&self, rng: &mut Rng, from: u32, to: u32, amount: f64) -> Draft {
        Draft {
            payer: Account::customer(from),
            payee: Account::customer(to),
            amount,
            device: self.own_device(rng, from),
            ip: self.own_address(rng, from),
            country: self.customers[from as usize].country,
            mcc: TRANSFER_MCC,
            channel: Channel::Transfer,
            story: Story::Everyday,
        }
    }

    /// A site, most likely one of the most visited.
    pub(super) fn any_site(&self, rng: &mut Rng) -> u32 {
        self.sites[rng.index_skewed(self.sites.len())]
    }

    /// A merchant where much is spent at once.
    pub(super) fn any_expensive(&self, rng: &mut Rng) -> u32 {
        self.expensive[rng.index(self.expensive.len())]
    }

    /// A merchant where much is spent at once, online.
    pub(super) fn any_expensive_site(&self, rng: &mut Rng) -> u32 {
        // Each category is there, so one is found.
        loop {
            let merchant = self.any_expensive(rng);
            if self.category(merchant).channel == Channel::CardNotPresent {
                return merchant;
            }
        }
    }

    /// A merchant of digital goods.
    pub(super) fn any_digital(&self, rng: &mut Rng) -> u32 {
        self.digital[rng.index(self.digital.len())]
    }

    pub(super) fn category(&self, merchant: u32) -> &'static Category {
        &CATEGORIES[usize::from(self.merchants[merchant as usize].category)]
    }

    pub(super) fn spending(&self, customer: u32) -> f64 {
        f64::from(self.customers[customer as usize].spending)
    }

    /// Lets a customer go abroad; says where to.
    pub(super) fn send_away(&mut self, rng: &mut Rng, customer: u32, until_s: u64) -> u8 {
        let home = self.customers[customer as usize].country;
        let country = self.other_country(rng, home);
        let who = &mut self.customers[customer as usize];
        (who.away_country, who.away_until_s) = (country, until_s);
        country
    }

    /// Any store or cash machine of a country; a site where it has none.
    pub(super) fn store_in(&self, rng: &mut Rng, country: u8) -> u32 {
        self.store_nearby(rng, country, (0, 0), 1)
    }

    /// Any country but one.
    pub(super) fn other_country(&self, rng: &mut Rng, than: u8) -> u8 {
        let others = ABROAD.len() as u64;
        let country = rng.below(others) as u8;
        if country >= than { country + 1 } else { country }
    }

    pub(super) fn country_of(&self, customer: u32) -> u8 {
        self.customers[customer as usize].country
    }

    /// Replaces a customer's oldest device.
    pub(super) fn replace_device(&mut self, customer: u32) {
        let who = &mut self.customers[customer as usize];
        who.device_oldest = (who.device_oldest + 1) % DEVICES as u8;
    }

    /// The newest device of a customer.
    pub(super) fn newest_device(&self, customer: u32) -> Device {
        self.device_of(customer, self.customers[customer as usize].devices - 1)
    }

    fn own_device(&self, rng: &mut Rng, customer: u32) -> Device {
        let devices = self.customers[customer as usize].devices;
        self.device_of(customer, rng.below(devices.into()) as u8)
    }

    fn device_of(&self, customer: u32, nth: u8) -> Device {
        let oldest = self.customers[customer as usize].device_oldest;
        self.device(customer * DEVICES + u32::from(oldest + nth) % DEVICES)
    }

    fn terminal(&self, rng: &mut Rng, merchant: u32) -> Device {
        self.device((1 << 30) + merchant * TERMINALS + rng.below(TERMINALS.into()) as u32)
    }

    /// A device that is no customer's and no merchant's.
    pub(super) fn foreign_device(&self, nth: u32) -> Device {
        self.device((3 << 30) + nth % (1 << 30))
    }

    /// Numbers stay apart, because the mix is one-to-one.
    fn device(&self, number: u32) -> Device {
        Device(mix32(number ^ self.seed as u32))
    }

    /// Mostly the address at home, else one of the mobile networks.
    fn own_address(&self, rng: &mut Rng, customer: u32) -> u32 {
        if rng.chance(0.7) { address(u64::from(customer)) } else { self.any_address(rng) }
    }

    /// An address that many share.
    pub(super) fn any_address(&self, rng: &mut Rng) -> u32 {
        address((1 << 40) + rng.below(4_000))
    }

    pub(super) fn country(&self, index: u8) -> Country {
        match index.checked_sub(1) {
            None => Country(self.home_country),
            Some(abroad) => Country(ABROAD[usize::from(abroad)]),
        }
    }
}

/// One of the 16 million addresses of 10.0.0.0/8. 0 stands for none, so 10.0.0.0 is left out.
pub(super) fn address(number: u64) -> u32 {
    (10 << 24) + 1 + (mix64(number) % ((1 << 24) - 1)) as u32
}

/// The nearest multiple of `step`, at least one step.
pub(super) fn rounded(amount: f64, step: f64) -> f64 {
    (amount / step + 0.5).floor().max(1.0) * step
}

fn draw_category(rng: &mut Rng) -> usize {
    let total: u32 = CATEGORIES.iter().map(|category| category.weight).sum();
    let mut left = rng.below(total.into()) as u32;
    for (index, category) in CATEGORIES.iter().enumerate() {
        if left < category.weight {
            return index;
        }
        left -= category.weight;
    }
    unreachable!("what is below the sum of the weights belongs to one of them")
}

fn draw_country(rng: &mut Rng, abroad_share: f64) -> u8 {
    if rng.chance(abroad_share) { 1 + rng.below(ABROAD.len() as u64) as u8 } else { HOME }
}

fn draw_place(rng: &mut Rng) -> (u16, u16) {
    let bits = rng.bits();
    (bits as u16, (bits >> 16) as u16)
}
