// WordPiece, the tokenizer of BERT, in plain JavaScript: the same steps as course/tokenizers/wordpiece.py.
// 1. clean the text   2. cut it into words   3. cut each word into the longest pieces that the vocabulary has

const CHINESE = [[0x3400, 0x4dbf], [0x4e00, 0x9fff], [0xf900, 0xfaff], [0x20000, 0x2a6df], [0x2a700, 0x2b81f],
                 [0x2b920, 0x2ceaf], [0x2f800, 0x2fa1f]];
const MAX_WORD = 100;
const SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

export class WordPiece {
  // lines: the text of vocab.txt, one piece a line; settings: tokenizer_config.json
  constructor(lines, settings = {}) {
    this.pieces = lines.split("\n").map(line => line.replace(/\r$/, ""));
    if (this.pieces.at(-1) === "") this.pieces.pop();
    this.ids = new Map(this.pieces.map((piece, id) => [piece, id]));
    this.lower = settings.do_lower_case ?? true;
    this.strip = settings.strip_accents ?? this.lower;
    this.chinese = settings.tokenize_chinese_chars ?? true;
    this.cleaned = new Map();
  }

  // What stands for a character, with blanks around those that are words of their own.
  clean(original) {
    if (this.cleaned.has(original)) return this.cleaned.get(original);
    let char = original, found;
    if ("\t\n\r".includes(char) || /^\p{Z}$/u.test(char)) found = " ";
    else if (char === "\0" || char === "\ufffd" || /^[\p{Cc}\p{Cf}\p{Co}\p{Cs}]$/u.test(char)) found = "";
    else {
      if (this.strip) char = char.normalize("NFD").replace(/\p{Mn}/gu, "");
      if (this.lower) char = char.toLowerCase();
      const code = char.codePointAt(0), single = [...char].length === 1;
      const alone = /^[ -~]+$/.test(char) && !/^[a-zA-Z0-9]+$/.test(char) || /^\p{P}$/u.test(original)
        || this.chinese && single && CHINESE.some(([first, last]) => first <= code && code <= last);
      found = alone && char ? ` ${char} ` : char;
    }
    this.cleaned.set(original, found);
    return found;
  }

  words(text) {
    return [...text].map(char => this.clean(char)).join("").split(/\s+/u).filter(word => word);
  }

  // The longest piece that fits, again and again; a word with a part that none fits is [UNK] as a whole.
  cut(word) {
    const chars = [...word], found = [];
    if (chars.length > MAX_WORD) return ["[UNK]"];
    for (let start = 0; start < chars.length;) {
      let end = chars.length, piece;
      for (; end > start; end--) {
        piece = (start ? "##" : "") + chars.slice(start, end).join("");
        if (this.ids.has(piece)) break;
      }
      if (end === start) return ["[UNK]"];
      found.push(piece);
      start = end;
    }
    return found;
  }

  // text -> {tokens, ids} with [CLS] and [SEP]. special: whether "[MASK]" in the text is the token or six characters.
  encode(text, {special = true, limit = 512} = {}) {
    const parts = special ? text.split(/(\[PAD\]|\[UNK\]|\[CLS\]|\[SEP\]|\[MASK\])/) : [text];
    const inner = parts.flatMap(part => special && SPECIAL.includes(part) ? [part]
      : this.words(part).flatMap(word => this.cut(word)));
    const tokens = ["[CLS]", ...inner.slice(0, limit - 2), "[SEP]"];
    return {tokens, ids: tokens.map(token => this.ids.get(token)), cut: inner.length > limit - 2};
  }
}
