"""Names, places and number ranges of the invented people: public facts about six locales, small on purpose."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Locale:
    """`share` of the people (in 100); `places`: (IANA time zone, weight, telephone area codes used there)."""

    tag: str
    country: str
    share: int
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    places: tuple[tuple[str, int, tuple[str, ...]], ...]


def _names(text: str, *with_blanks: str) -> tuple[str, ...]:
    return (*text.split(), *with_blanks)


_EASTERN = (
    "201 202 203 207 212 215 216 234 240 267 301 302 304 305 315 321 330 334 336 339 347 351 352 386 401 404 407 "
    "410 412 413 419 434 440 443 470 475 478 484 508 513 516 518 540 551 561 567 570 571 585 586 603 607 609 610 614 "
    "616 617 631 646 678 703 704 706 716 717 718 724 727 732 734 740 754 757 762 770 772 774 781 786 802 803 804 810 "
    "813 814 828 843 845 848 856 857 860 862 863 864 908 910 914 917 919 929 937 941 954 959 973 978 980 984 989"
)
_CENTRAL = (
    "205 210 214 217 218 219 224 225 228 251 254 256 262 281 309 312 314 316 318 319 320 331 337 361 402 405 409 414 "
    "417 430 432 469 479 501 504 507 512 515 573 580 601 608 612 615 618 630 636 641 651 662 682 708 712 713 715 731 "
    "763 769 773 779 785 806 815 816 817 830 832 847 870 901 903 913 915 918 920 936 940 952 956 972 979 985"
)
_MOUNTAIN = "303 307 385 406 435 505 575 719 720 801 970"
_PACIFIC = (
    "206 209 213 253 310 323 360 408 415 425 503 509 510 530 541 559 562 619 626 650 657 661 702 707 714 747 760 775 "
    "805 818 831 858 909 916 925 949 951 971"
)

LOCALES = (
    Locale(
        "en-US",
        "US",
        42,
        _names(
            "James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara "
            "Richard Susan Joseph Jessica Thomas Sarah Chris Karen Daniel Lisa Matthew Nancy Anthony "
            "Betty Mark Sandra Donald Ashley Steven Emily Andrew Kimberly Paul Donna Joshua Michelle "
            "Kenneth Carol D'Andre Zoë Renée José María"
        ),
        _names(
            "Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez "
            "Gonzalez Wilson Anderson Thomas Taylor Moore Jackson Martin Lee Perez Thompson White Harris "
            "Sanchez Clark Ramirez Lewis Robinson Walker Young Allen King Wright Scott Torres Nguyen Hill "
            "Flores O'Brien O'Connor D'Angelo Peña Muñoz McDonald",
            "Van Dyke",
            "St. James",
            'Johnson "Jr."',
            "Smith, Jr.",
        ),
        (
            ("America/New_York", 47, tuple(_EASTERN.split())),
            ("America/Chicago", 29, tuple(_CENTRAL.split())),
            ("America/Denver", 6, tuple(_MOUNTAIN.split())),
            ("America/Phoenix", 2, ("480", "520", "602", "623", "928")),
            ("America/Los_Angeles", 16, tuple(_PACIFIC.split())),
        ),
    ),
    Locale(
        "en-GB",
        "GB",
        16,
        _names(
            "Oliver Olivia George Amelia Harry Isla Noah Ava Jack Mia Leo Ivy Arthur Lily Muhammad "
            "Isabella Oscar Rosie Charlie Sophia Siobhán Seán Zoë Chloë Nia Rhys Ffion Gethin Fatima "
            "Priya Arjun Callum"
        ),
        _names(
            "Smith Jones Taylor Brown Williams Wilson Johnson Davies Patel Wright Walker White Edwards "
            "Hughes Green Hall Lewis Harris Clarke Khan Jackson Wood Turner Martin Cooper Hill Ward "
            "Morris O'Neill O'Sullivan Fitz-Gerald Brontë MacLeod Begum Singh Smythe-Jones"
        ),
        (("Europe/London", 1, ()),),
    ),
    Locale(
        "de-DE",
        "DE",
        18,
        _names(
            "Ben Emma Paul Mia Leon Hannah Finn Sofia Jonas Lina Elias Emilia Luis Marie Noah Lea Felix "
            "Anna Lukas Clara Jürgen Käthe Günther Jörg Björn Sören Zoë Ayşe Mehmet Heike Uwe Anke "
            "Jan-Philipp"
        ),
        _names(
            "Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Schäfer Koch "
            "Bauer Richter Klein Wolf Schröder Neumann Schwarz Zimmermann Braun Krüger Hofmann Hartmann "
            "Lange Schmitt Werner Weiß Groß Strauß Köhler König Böhm Yılmaz Müller-Lüdenscheidt",
            "von der Heide",
            "zu Löwenstein",
        ),
        (("Europe/Berlin", 1, ()),),
    ),
    Locale(
        "de-AT",
        "AT",
        5,
        _names("Maximilian Anna Jakob Marie David Emma Tobias Lena Franz Elfriede Sepp Vroni Zoë Jürgen Böhmund"),
        _names("Gruber Huber Bauer Wagner Müller Pichler Steiner Moser Mayer Hofer Größing Öllinger Übelhör"),
        (("Europe/Vienna", 1, ()),),
    ),
    Locale(
        "fr-FR",
        "FR",
        11,
        _names(
            "Gabriel Jade Léo Louise Raphaël Emma Louis Alice Jules Ambre Adam Lina Maël Rose Lucas Chloé "
            "Hugo Mia Noé Anna François Zoé Anaïs Jean-Luc Marie-Hélène Gaël Loïc Cédric Héloïse"
        ),
        _names(
            "Martin Bernard Thomas Petit Robert Richard Durand Dubois Moreau Laurent Simon Michel Lefèvre "
            "Leroy Roux Fournier Girard Bonnet Dupont Lambert François Mercier Guérin Boyer D'Aboville "
            "N'Diaye Lœuillet",
            "de la Tour",
            "L'Hôpital",
        ),
        (("Europe/Paris", 1, ()),),
    ),
    Locale(
        "es-ES",
        "ES",
        8,
        _names(
            "Hugo Lucía Mateo Sofía Martín Martina Lucas María Leo Julia Daniel Paula Alejandro Valeria "
            "Manuel Emma Pablo Daniela Álvaro Carla Adrián Alma José Ángel Íñigo Begoña Nuria Zoé"
        ),
        _names(
            "García Rodríguez González Fernández López Martínez Sánchez Pérez Gómez Martín Jiménez Ruiz "
            "Hernández Díaz Moreno Muñoz Álvarez Romero Alonso Gutiérrez Navarro Torres Domínguez Vázquez "
            "Núñez Ibáñez",
            "García Lorca",
            "Ortega y Gasset",
        ),
        (("Europe/Madrid", 9, ()), ("Atlantic/Canary", 1, ())),
    ),
)

PHONE_RANGES: dict[str, tuple[tuple[str, int], ...]] = {
    # Ofcom, numbers for drama use: mobile, and the geographic ones of London and Leeds
    "GB": (("07700 900", 3), ("020 7946 0", 3), ("0113 496 0", 3)),
    # Bundesnetzagentur, Mitteilung 148/2021 ("Drama Numbers"): Berlin, Frankfurt, Hamburg, Köln, München
    "DE": (("030 23125", 3), ("069 90009", 3), ("040 66969", 3), ("0221 4710", 3), ("089 99998", 3)),
    # Arcep, numéros pour les œuvres audiovisuelles: mobile
    "FR": (("06 39 98", 4),),
}
"""Ranges that regulators reserve for fiction: (what it begins with, digits that follow). The US has 555-0100 to -0199
in every area code; Austria and Spain publish none, so people there have no phone."""

DOMAINS = (
    ("example.com", 40),
    ("example.org", 15),
    ("example.net", 15),
    ("mail.example.com", 15),
    ("post.example.org", 8),
    ("correo.example.net", 7),
)
"""RFC 2606: reserved for documentation, with all their sub-domains; (domain, weight)."""

CATEGORIES = (
    ("books", 30, 500, 6_000),
    ("clothing", 25, 1_500, 15_000),
    ("garden", 15, 1_000, 25_000),
    ("kitchen", 15, 900, 20_000),
    ("electronics", 15, 2_000, 90_000),
)
"""(category, weight, least amount, greatest amount in cents)"""
