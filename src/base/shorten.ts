/** Shortening of what messages quote: names, lists and values of a file may have any length. */

/** Longest message. */
const MESSAGE_LENGTH = 2000;
/** Longest quoted name or bracketed list in a message. */
const QUOTED_LENGTH = 300;
/** Only so much of a message is looked at: the rest is cut first. */
const SCANNED_LENGTH = 200_000;

/** A name of at most `length` characters: the beginning and the end of a longer one. */
export function shortName(name: string, length = QUOTED_LENGTH): string {
  if (name.length <= length) return name;
  const tail = Math.floor(length / 4);
  return `${whole(name.slice(0, length - tail))}… (${name.length} characters) …${whole(name.slice(-tail))}`;
}

/**
 * A message in which every long run of text without a blank (a quoted name, the list of `[1,2,3,…]`) is cut in its
 * middle, and which is cut itself beyond `length`. Short messages stay as they are.
 */
export function shorten(message: string, length = MESSAGE_LENGTH): string {
  if (message.length <= QUOTED_LENGTH) return message;
  const scanned = message.length > SCANNED_LENGTH ? shortName(message, SCANNED_LENGTH) : message;
  const cut = scanned
    .split(/([ \n]+)/)
    .map((word) => shortName(word))
    .join('');
  return shortName(cut, length);
}

/** A cut may have gone through a surrogate pair. */
const whole = (text: string): string => text.replace(/^[\udc00-\udfff]|[\ud800-\udbff]$/g, '');
