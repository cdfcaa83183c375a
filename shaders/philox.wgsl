// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): random bits from a counter and a key.
// It needs no globals.

// High and low word of a product, by 16-bit pieces: WGSL has no 64-bit integers.
fn k_mul_wide(a: u32, b: u32) -> vec2<u32> {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let ll = al * bl;
    let lh = al * bh;
    let hl = ah * bl;
    let middle = (ll >> 16u) + (lh & 0xffffu) + (hl & 0xffffu);
    return vec2<u32>(ah * bh + (lh >> 16u) + (hl >> 16u) + (middle >> 16u), a * b);
}

// The four words for one counter.
fn k_philox(at: u32, stream: u32, key0: u32, key1: u32) -> vec4<u32> {
    var c = vec4<u32>(at, stream, 0u, 0u);
    var k = vec2<u32>(key0, key1);
    for (var round = 0u; round < 10u; round++) {
        let x = k_mul_wide(0xd2511f53u, c.x);
        let y = k_mul_wide(0xcd9e8d57u, c.z);
        c = vec4<u32>(y.x ^ c.y ^ k.x, y.y, x.x ^ c.w ^ k.y, x.y);
        k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}

// The bits of one element: four neighbours share a counter.
fn k_random(element: u32, stream: u32, key0: u32, key1: u32) -> u32 {
    return k_philox(element >> 2u, stream, key0, key1)[element & 3u];
}
