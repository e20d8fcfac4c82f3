// A QR code (ISO/IEC 18004, model 2) of the text of a pass, drawn without a server.
//
// The text of a pass is alphanumeric in the sense of QR codes, so only that mode is here, with
// error correction L: a screen is never soiled. matrix(text) returns rows of true and false.

const LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
// Correction L, versions 1 to 40: codewords of correction in a block, and number of blocks.
const CORRECTION = [7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28,
  28, 28, 30, 30, 26, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30];
const BLOCKS = [1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8, 8, 9, 9, 10, 12, 12,
  12, 13, 14, 15, 16, 17, 18, 19, 19, 20, 21, 22, 24, 25];

// Modules that are left for codewords, in bits.
function roomBits(version) {
  let bits = (16 * version + 128) * version + 64;
  if (version >= 2) {
    const rows = Math.floor(version / 7) + 2;
    bits -= (25 * rows - 10) * rows - 55;
    if (version >= 7) bits -= 36;
  }
  return bits;
}

function dataBytes(version) {
  return Math.floor(roomBits(version) / 8) - CORRECTION[version - 1] * BLOCKS[version - 1];
}

function encode(text) {
  for (const letter of text) {
    if (!LETTERS.includes(letter)) throw new Error("not the text of a pass");
  }
  for (let version = 1; version <= 40; version += 1) {
    const countBits = version < 10 ? 9 : version < 27 ? 11 : 13;
    const bits = 4 + countBits + Math.floor(text.length / 2) * 11 + (text.length % 2) * 6;
    if (bits <= dataBytes(version) * 8) return { version, data: pack(text, countBits, version) };
  }
  throw new Error("too long for a QR code");
}

function pack(text, countBits, version) {
  const bits = [];
  const put = (value, count) => {
    for (let at = count - 1; at >= 0; at -= 1) bits.push((value >>> at) & 1);
  };
  put(2, 4);
  put(text.length, countBits);
  for (let at = 0; at + 1 < text.length; at += 2) {
    put(LETTERS.indexOf(text[at]) * 45 + LETTERS.indexOf(text[at + 1]), 11);
  }
  if (text.length % 2) put(LETTERS.indexOf(text[text.length - 1]), 6);
  const room = dataBytes(version) * 8;
  put(0, Math.min(4, room - bits.length));
  put(0, (8 - bits.length % 8) % 8);
  for (let pad = 0xec; bits.length < room; pad ^= 0xec ^ 0x11) put(pad, 8);
  const bytes = [];
  for (let at = 0; at < bits.length; at += 8) {
    bytes.push(bits.slice(at, at + 8).reduce((sum, bit) => sum * 2 + bit, 0));
  }
  return bytes;
}

// Arithmetic in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1.
function multiply(x, y) {
  let product = 0;
  for (let at = 7; at >= 0; at -= 1) {
    product = (product << 1) ^ ((product >>> 7) * 0x11d);
    product ^= ((y >>> at) & 1) * x;
  }
  return product;
}

function divisor(degree) {
  const result = new Array(degree).fill(0);
  result[degree - 1] = 1;
  let root = 1;
  for (let round = 0; round < degree; round += 1) {
    for (let at = 0; at < degree; at += 1) {
      result[at] = multiply(result[at], root);
      if (at + 1 < degree) result[at] ^= result[at + 1];
    }
    root = multiply(root, 2);
  }
  return result;
}

function remainder(data, by) {
  const result = by.map(() => 0);
  for (const value of data) {
    const factor = value ^ result.shift();
    result.push(0);
    by.forEach((coefficient, at) => { result[at] ^= multiply(coefficient, factor); });
  }
  return result;
}

// Cut into blocks, add correction, and interleave.
function codewords(version, data) {
  const count = BLOCKS[version - 1], length = CORRECTION[version - 1];
  const whole = Math.floor(roomBits(version) / 8);
  const short = Math.floor(whole / count) - length, shortBlocks = count - whole % count;
  const by = divisor(length), blocks = [];
  for (let block = 0, at = 0; block < count; block += 1) {
    const size = short + (block < shortBlocks ? 0 : 1);
    const part = data.slice(at, at + size);
    blocks.push({ part, check: remainder(part, by) });
    at += size;
  }
  const result = [];
  for (let at = 0; at <= short; at += 1) {
    for (const { part } of blocks) if (at < part.length) result.push(part[at]);
  }
  for (let at = 0; at < length; at += 1) for (const { check } of blocks) result.push(check[at]);
  return result;
}

function alignments(version) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2, size = version * 4 + 17;
  const apart = Math.floor((version * 8 + count * 3 + 5) / (count * 4 - 4)) * 2;
  const result = [6];
  for (let at = size - 7; result.length < count; at -= apart) result.splice(1, 0, at);
  return result;
}

class Code {
  constructor(version) {
    this.size = version * 4 + 17;
    this.dark = Array.from({ length: this.size }, () => new Array(this.size).fill(false));
    this.fixed = Array.from({ length: this.size }, () => new Array(this.size).fill(false));
    this.drawPatterns(version);
  }

  fix(x, y, dark) { this.dark[y][x] = dark; this.fixed[y][x] = true; }

  drawPatterns(version) {
    for (let at = 0; at < this.size; at += 1) {
      this.fix(6, at, at % 2 === 0);
      this.fix(at, 6, at % 2 === 0);
    }
    for (const [x, y] of [[3, 3], [this.size - 4, 3], [3, this.size - 4]]) this.drawFinder(x, y);
    const places = alignments(version), last = places.length - 1;
    places.forEach((x, column) => places.forEach((y, row) => {
      const corner = (column === 0 && (row === 0 || row === last)) || (column === last && row === 0);
      if (!corner) this.drawAlignment(x, y);
    }));
    this.drawFormat(0);
    if (version >= 7) this.drawVersion(version);
  }

  drawFinder(x, y) {
    for (let dy = -4; dy <= 4; dy += 1) for (let dx = -4; dx <= 4; dx += 1) {
      const ring = Math.max(Math.abs(dx), Math.abs(dy));
      const inside = x + dx >= 0 && x + dx < this.size && y + dy >= 0 && y + dy < this.size;
      if (inside) this.fix(x + dx, y + dy, ring !== 2 && ring !== 4);
    }
  }

  drawAlignment(x, y) {
    for (let dy = -2; dy <= 2; dy += 1) for (let dx = -2; dx <= 2; dx += 1) {
      this.fix(x + dx, y + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
    }
  }

  drawFormat(mask) {
    const data = (1 << 3) | mask; // 1 is correction L
    let rest = data;
    for (let at = 0; at < 10; at += 1) rest = (rest << 1) ^ ((rest >>> 9) * 0x537);
    const bits = ((data << 10) | rest) ^ 0x5412;
    const bit = (at) => ((bits >>> at) & 1) !== 0;
    for (let at = 0; at <= 5; at += 1) this.fix(8, at, bit(at));
    this.fix(8, 7, bit(6));
    this.fix(8, 8, bit(7));
    this.fix(7, 8, bit(8));
    for (let at = 9; at < 15; at += 1) this.fix(14 - at, 8, bit(at));
    for (let at = 0; at < 8; at += 1) this.fix(this.size - 1 - at, 8, bit(at));
    for (let at = 8; at < 15; at += 1) this.fix(8, this.size - 15 + at, bit(at));
    this.fix(8, this.size - 8, true);
  }

  drawVersion(version) {
    let rest = version;
    for (let at = 0; at < 12; at += 1) rest = (rest << 1) ^ ((rest >>> 11) * 0x1f25);
    const bits = (version << 12) | rest;
    for (let at = 0; at < 18; at += 1) {
      const dark = ((bits >>> at) & 1) !== 0;
      const far = this.size - 11 + at % 3, near = Math.floor(at / 3);
      this.fix(far, near, dark);
      this.fix(near, far, dark);
    }
  }

  // In pairs of columns from the right, upwards and downwards in turn. Mask 0 inverts every
  // second module: readers take any mask, and one is enough.
  drawCodewords(words) {
    let at = 0;
    for (let right = this.size - 1; right >= 1; right -= 2) {
      if (right === 6) right = 5;
      for (let step = 0; step < this.size; step += 1) for (let side = 0; side < 2; side += 1) {
        const x = right - side, upward = ((right + 1) & 2) === 0;
        const y = upward ? this.size - 1 - step : step;
        if (this.fixed[y][x]) continue;
        const bit = at < words.length * 8 && ((words[at >>> 3] >>> (7 - (at & 7))) & 1) !== 0;
        this.dark[y][x] = bit !== ((x + y) % 2 === 0);
        at += 1;
      }
    }
  }
}

export function matrix(text) {
  const { version, data } = encode(text);
  const code = new Code(version);
  code.drawCodewords(codewords(version, data));
  return code.dark;
}

// Draw the code with its four modules of white, each a whole number of pixels.
export function draw(canvas, text, width) {
  const rows = matrix(text), side = rows.length + 8;
  const scale = Math.max(1, Math.floor(width / side));
  canvas.width = canvas.height = side * scale;
  const paint = canvas.getContext("2d");
  paint.fillStyle = "#fff";
  paint.fillRect(0, 0, canvas.width, canvas.height);
  paint.fillStyle = "#000";
  rows.forEach((row, y) => row.forEach((dark, x) => {
    if (dark) paint.fillRect((x + 4) * scale, (y + 4) * scale, scale, scale);
  }));
}
