# SPDX-License-Identifier: Apache-2.0
"""Which language a text is in, of the 30 of IFEval (arXiv 2311.07911).

The released checkers ask `langdetect`, a model of letter n-grams. This is a
small stand-in without a model: the script that most letters belong to, and
within a script that several languages share, the most frequent short words and
the letters that only one of them has. Its limits:

* It is meant for answers of a few sentences. A few words may hold no evidence;
  they get the first language of their script: English, Russian, Arabic, Hindi.
* It knows no other languages: Dutch gets the nearest of those it knows, and
  text in no language but of the right letters passes as one.
* It judges the text as a whole: a foreign sentence in a long answer is missed.

Text without letters is in no language, where the released checkers call the
instruction followed: a model that is trained should not find that way out.
"""

# The words of other scripts are what this file is about.
# ruff: noqa: RUF001

import bisect
import collections
import re

# First and last letter of the blocks of Unicode that tell languages apart.
_BLOCKS = (
  (0x0041, 0x024F, "Latin"),
  (0x0400, 0x052F, "Cyrillic"),
  (0x0590, 0x05FF, "Hebrew"),
  (0x0600, 0x077F, "Arabic"),
  (0x0900, 0x097F, "Devanagari"),
  (0x0980, 0x09FF, "Bengali"),
  (0x0A00, 0x0A7F, "Gurmukhi"),
  (0x0A80, 0x0AFF, "Gujarati"),
  (0x0B80, 0x0BFF, "Tamil"),
  (0x0C00, 0x0C7F, "Telugu"),
  (0x0C80, 0x0CFF, "Kannada"),
  (0x0D00, 0x0D7F, "Malayalam"),
  (0x0E00, 0x0E7F, "Thai"),
  (0x1100, 0x11FF, "Hangul"),
  (0x1E00, 0x1EFF, "Latin"),
  (0x3040, 0x30FF, "Kana"),
  (0x3400, 0x9FFF, "Han"),
  (0xAC00, 0xD7AF, "Hangul"),
  (0xFB50, 0xFDFF, "Arabic"),
  (0xFE70, 0xFEFC, "Arabic"),
)
_STARTS = tuple(first for first, _, _ in _BLOCKS)

# The languages of a script, the one to presume first.
_LANGUAGES = {
  "Latin": ("en", "es", "pt", "fr", "de", "it", "pl", "vi", "sw", "fi"),
  "Cyrillic": ("ru", "uk", "bg"),
  "Hebrew": ("he",),
  "Arabic": ("ar", "fa", "ur"),
  "Devanagari": ("hi", "mr", "ne"),
  "Bengali": ("bn",),
  "Gurmukhi": ("pa",),
  "Gujarati": ("gu",),
  "Tamil": ("ta",),
  "Telugu": ("te",),
  "Kannada": ("kn",),
  "Malayalam": ("ml",),
  "Thai": ("th",),
  "Hangul": ("ko",),
  "Kana": ("ja",),
}
LANGUAGES = frozenset(code for codes in _LANGUAGES.values() for code in codes)

# Frequent short words. One of two languages counts for both: it is the sum
# over a text that tells them apart.
_WORDS = {
  "en": "the of and to in is was for that it with as on be at by this are from"
  " or have an they you not his her we but all were can will their there what"
  " your my i our has if its which more when who so about would how",
  "es": "el la los las de que y en un una es por con para se no lo su al del"
  " como más pero sus le ya este si porque esta entre cuando muy sin sobre"
  " también me hasta hay donde quien desde todo nos ser son está yo mi",
  "pt": "o a os as de que e em um uma é por com para se não do da dos das no na"
  " nos nas ao como mais mas seu sua ou quando muito já eu também só pelo pela"
  " até isso ela entre depois sem mesmo aos ser são está você",
  "fr": "le la les de des du et en un une est que qui dans pour pas sur au aux"
  " avec ce cette il elle je vous nous ne se plus par sont mais ou son sa ses"
  " leur été être fait comme tout c'est d'un d'une on très",
  "de": "der die das und in den von zu mit sich des auf für ist im dem nicht"
  " ein eine als auch es an werden aus er hat dass sie nach wird bei einer um"
  " am sind noch wie einem über einen so zum war haben nur oder aber wir ich",
  "it": "il lo la i gli le di che e in un una è per con non si da del della dei"
  " delle al alla sono come più ma anche nel nella questo questa ha o se suo"
  " sua dal essere molto io mi ci tra loro era tutto perché",
  "pl": "i w na z do nie to się że jest o po od za jak co dla jego jej czy ale"
  " są przez przy był była był być tak oraz który która które tym tylko może"
  " już ich ten ta te tego mnie mi ja bardzo gdy jako pod",
  "vi": "và là của có không được trong cho người một với các những này đã để khi"
  " đến tôi bạn từ cũng ra như về nhiều sẽ hay rất vào thì mà trên đó lại anh"
  " nó phải nếu ở chúng ta",
  "sw": "ya na wa kwa ni za katika la cha kuwa hii pia au kama sana lakini huo"
  " yake wake hiyo hayo yao wetu watu mtu vya yangu mimi wewe sisi ambayo"
  " ambao kila ili baada kabla hivyo zaidi moja hilo hizi huu bila siku",
  "fi": "ja on ei se että en hän oli mutta ovat kun niin myös joka tai kuin sen"
  " mitä ole jos minä sinä me he tämä nyt vain hyvin voi olen ollut siitä"
  " sitä jotka kanssa mukaan jo sekä niitä tämän ne olla",
  "ru": "и в не на что с по как это он она они мы вы я но а для от его к у из за"
  " все так же был была было быть или если бы то при есть только ещё также"
  " который которые может очень чтобы когда",
  "uk": "і в не на що з по як це він вона вони ми ви я але а для від його до у та"
  " за все так був була було бути або якщо й є тільки ще також який які може"
  " дуже щоб коли про із",
  "bg": "и в не на че с по като това той тя те ние вие аз но а за от му е са се"
  " да ще към при или ако би има само още също който която които може много"
  " когато си със във ни беше",
  "ar": "في من على إلى أن هذا هذه التي الذي كان كانت لا ما مع عن هو هي أو ثم قد"
  " كل بعد قبل بين حيث عند لم لن إن ذلك غير أنا نحن يكون ولا كما",
  "fa": "و در به از که این را با است برای آن یک خود تا کرد بر هم نیز می شود"
  " شده باید ما او یا اما اگر هر هستند دارد بود من شما ها های بسیار",
  "ur": "کے کی میں ہے اور سے کا کو اس نے پر ہیں یہ کہ ایک بھی ہو کر تو نہیں تھا"
  " تھی وہ ان جو ہم آپ گیا کیا لیے ہوتا کرنے ساتھ اپنے بہت تک",
  "hi": "के में की है और से का को पर यह ने एक हैं कि भी नहीं हो था थी तो कर इस"
  " लिए वह जो अपने आप हम मैं साथ या बहुत थे किया जा होता ही जब",
  "mr": "आहे आणि या मी हे ही तो ते तर पण आहेत होते होता होती नाही एक त्या च्या"
  " व मध्ये साठी केली केले केला खूप आपण आम्ही तुम्ही असे असतो असते करा जे"
  " त्यांच्या त्याच्या आपल्या तुमच्या सर्व माझे माझ्या आता",
  "ne": "छ र को मा का लाई ले हो यो पनि छन् गर्न भएको हुन्छ तर एक थियो छैन गरेको"
  " लागि भने म हामी तपाईं यस त्यो धेरै गर्ने छु मेरो हाम्रो थिए गर्छ हुन् वा"
  " गर्नुहोस् जस्तै साथै नै हुने",
}
# Letters that few languages of the same script have. One that two of them have
# counts for both, as a word does.
_LETTERS = {
  "es": "ñ",
  "pt": "ãõ",
  "fr": "œëûî",
  "de": "äöüß",
  "pl": "łąęśżźćń",
  "vi": "ơưăđạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
  "fi": "äö",
  "ru": "ыэё",
  "uk": "іїєґ",
  "bg": "ъ",
  "ar": "ةىأإكي",
  "fa": "پچژگیک",
  "ur": "پچژگیکٹڈڑںےہھ",
  "mr": "ळ",
}
_EVIDENCE = {
  code: (frozenset(words.split()), frozenset(_LETTERS.get(code, "")))
  for code, words in _WORDS.items()
}

# Marks of the scripts of India are not letters to `\w`, and are kept.
_WORD = re.compile(r"[\w\u0900-\u0dff']+")


def language_of(text: str) -> str | None:
  """Names the language of a text.

  Args:
    text: Any text. It takes time linear in its length.

  Returns:
    Its ISO 639-1 code; None if it has no letters, or most of them are of a
    script that no language of `LANGUAGES` is written in, such as Greek, or Han
    without the kana of Japanese.
  """
  scripts: collections.Counter[str] = collections.Counter()
  for letter, count in collections.Counter(text).items():
    if letter.isalpha():
      scripts[_script(letter)] += count
  # Japanese has fewer kana than Han at times; Chinese has none.
  if scripts["Kana"]:
    scripts["Kana"] += scripts.pop("Han", 0)
  if not scripts.total():
    return None
  languages = _LANGUAGES.get(scripts.most_common(1)[0][0], ())
  if len(languages) < 2:
    return languages[0] if languages else None
  evidence = _evidence(text, languages)
  return max(languages, key=lambda code: evidence[code])


def is_language(text: str, *, language: str) -> bool:
  """Whether the text is in the language with this code of `LANGUAGES`."""
  return language_of(text) == language


def _script(letter: str) -> str:
  block = bisect.bisect_right(_STARTS, ord(letter)) - 1
  if block < 0 or ord(letter) > _BLOCKS[block][1]:
    return "other"
  return _BLOCKS[block][2]


def _evidence(text: str, languages: tuple[str, ...]) -> dict[str, int]:
  """Words of a text that speak for each language: frequent, or its letters."""
  evidence = dict.fromkeys(languages, 0)
  words = collections.Counter(m.group() for m in _WORD.finditer(text.lower()))
  for word, count in words.items():
    letters = set(word)
    for code in languages:
      frequent, own_letters = _EVIDENCE[code]
      evidence[code] += count * (
        (word in frequent) + bool(letters & own_letters)
      )
  return evidence
