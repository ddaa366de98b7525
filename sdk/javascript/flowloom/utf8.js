// Conversion between strings and UTF-8 bytes. QuickJS has no TextEncoder and no TextDecoder.

export function decode(bytes) {
  let text = "";
  for (const byte of bytes) {
    if (byte > 127) return decodeURIComponent(percent(bytes));
    text += String.fromCharCode(byte);
  }
  return text;
}

function percent(bytes) {
  return Array.from(bytes, (byte) => "%" + byte.toString(16).padStart(2, "0")).join("");
}

export function encode(text) {
  const bytes = [];
  const encoded = encodeURIComponent(text.isWellFormed?.() === false ? text.toWellFormed() : text);
  for (let n = 0; n < encoded.length; n++) {
    if (encoded[n] === "%") {
      bytes.push(parseInt(encoded.slice(n + 1, n + 3), 16));
      n += 2;
    } else {
      bytes.push(encoded.charCodeAt(n));
    }
  }
  return bytes;
}
