/** The checksum of ZIP archives: CRC-32, reflected polynomial 0xedb88320. */

/** `TABLES[k][b]`: what byte b, followed by k zero bytes, does to the checksum. */
const TABLES = Array.from({ length: 8 }, () => new Uint32Array(256));
for (let b = 0; b < 256; b++) {
  let c = b;
  for (let bit = 0; bit < 8; bit++) c = (c >>> 1) ^ (0xedb88320 & -(c & 1));
  TABLES[0][b] = c >>> 0;
}
for (let k = 1; k < 8; k++)
  for (let b = 0; b < 256; b++) TABLES[k][b] = (TABLES[k - 1][b] >>> 8) ^ TABLES[0][TABLES[k - 1][b] & 255];

/** The checksum of `bytes`, behind those whose checksum is `before`. Eight bytes a step. */
export function crc32(bytes: Uint8Array, before = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES;
  let c = ~before;
  let i = 0;
  for (const end = bytes.length - 7; i < end; i += 8) {
    const x = c ^ (bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24));
    c =
      t7[x & 255] ^
      t6[(x >>> 8) & 255] ^
      t5[(x >>> 16) & 255] ^
      t4[x >>> 24] ^
      t3[bytes[i + 4]] ^
      t2[bytes[i + 5]] ^
      t1[bytes[i + 6]] ^
      t0[bytes[i + 7]];
  }
  for (; i < bytes.length; i++) c = (c >>> 8) ^ t0[(c ^ bytes[i]) & 255];
  return ~c >>> 0;
}
