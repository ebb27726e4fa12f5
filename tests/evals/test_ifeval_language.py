# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.evals.ifeval_language."""
# ruff: noqa: RUF001

import pytest

from ramjax.evals import ifeval_language

# Two short sentences of an answer each, in the 30 languages of IFEval.
_TEXTS = {
  "en": "Yesterday we walked along the river. It was warm and the children"
  " were happy.",
  "es": "Ayer caminamos por la orilla del río. Hacía calor y los niños estaban"
  " contentos.",
  "pt": "Ontem caminhamos pela margem do rio. Fazia calor e as crianças estavam"
  " felizes com o passeio.",
  "fr": "Hier, nous avons marché le long de la rivière. Il faisait chaud et les"
  " enfants étaient heureux.",
  "de": "Gestern sind wir am Fluss entlang gelaufen. Es war warm und die Kinder"
  " waren glücklich.",
  "it": "Ieri abbiamo camminato lungo il fiume. Faceva caldo e i bambini erano"
  " molto felici della giornata.",
  "pl": "Wczoraj poszliśmy na spacer nad rzekę. Było ciepło i dzieci były"
  " szczęśliwe.",
  "vi": "Hôm qua chúng tôi đi bộ dọc theo bờ sông. Trời ấm và bọn trẻ rất vui.",
  "sw": "Jana tulitembea kando ya mto. Kulikuwa na joto na watoto walikuwa na"
  " furaha sana.",
  "fi": "Eilen kävelimme joen rannalla. Oli lämmin ja lapset olivat iloisia.",
  "ru": "Вчера мы гуляли вдоль реки. Было тепло, и дети были счастливы.",
  "uk": "Учора ми гуляли вздовж річки. Було тепло, і діти були щасливі.",
  "bg": "Вчера се разхождахме край реката. Беше топло и децата бяха щастливи"
  " от деня.",
  "he": "אתמול הלכנו לאורך הנהר. היה חם והילדים היו שמחים.",
  "ar": "مشينا أمس على ضفة النهر. كان الجو دافئًا وكان الأطفال سعداء.",
  "fa": "دیروز در کنار رودخانه قدم زدیم. هوا گرم بود و بچه‌ها خوشحال بودند.",
  "ur": "کل ہم دریا کے کنارے چلے۔ موسم گرم تھا اور بچے خوش تھے۔",
  "hi": "कल हम नदी के किनारे टहलने गए। मौसम गर्म था और बच्चे खुश थे।",
  "mr": "काल आम्ही नदीच्या काठावर फिरायला गेलो. हवा उबदार होती आणि मुले आनंदी होती.",
  "ne": "हिजो हामी नदीको किनारमा हिँड्यौं। मौसम न्यानो थियो र बच्चाहरू खुसी थिए।",
  "bn": "গতকাল আমরা নদীর ধারে হেঁটেছিলাম।",
  "pa": "ਕੱਲ੍ਹ ਅਸੀਂ ਨਦੀ ਦੇ ਕੰਢੇ ਤੁਰੇ।",
  "gu": "ગઈકાલે અમે નદી કિનારે ચાલ્યા.",
  "ta": "நேற்று நாங்கள் ஆற்றங்கரையில் நடந்தோம்.",
  "te": "నిన్న మేము నది ఒడ్డున నడిచాము.",
  "kn": "ನಿನ್ನೆ ನಾವು ನದಿಯ ದಡದಲ್ಲಿ ನಡೆದೆವು.",
  "ml": "ഇന്നലെ ഞങ്ങൾ നദീതീരത്ത് നടന്നു.",
  "th": "เมื่อวานเราเดินเลียบแม่น้ำ",
  "ko": "어제 우리는 강을 따라 걸었습니다.",
  "ja": "昨日、私たちは川沿いを歩きました。子供達は楽しそうでした。",
}


def test_texts_cover_the_languages():
  assert set(_TEXTS) == ifeval_language.LANGUAGES
  assert len(_TEXTS) == 30


@pytest.mark.parametrize("language", _TEXTS)
def test_language_of_an_answer_is_told(language):
  text = _TEXTS[language]
  assert ifeval_language.language_of(text) == language
  assert ifeval_language.language_of(text.upper()) == language
  assert ifeval_language.is_language(text, language=language)
  other = "fr" if language == "en" else "en"
  assert not ifeval_language.is_language(text, language=other)


@pytest.mark.parametrize("text", ["", " 123 \n?", "😀", "Καλημέρα", "我们走路"])
def test_text_of_no_known_script_is_in_no_language(text):
  assert ifeval_language.language_of(text) is None


def test_most_letters_decide():
  assert ifeval_language.language_of(_TEXTS["th"] + " (a walk)") == "th"
  assert ifeval_language.language_of(_TEXTS["en"] + " 川") == "en"


def test_a_few_words_without_evidence_get_the_first_language_of_the_script():
  assert ifeval_language.language_of("Hello!") == "en"
  assert ifeval_language.language_of("молоко") == "ru"


def test_long_text_is_judged_in_linear_time():
  assert ifeval_language.language_of("ab" * 500_000) == "en"
  assert ifeval_language.language_of("क्" * 200_000) == "hi"
