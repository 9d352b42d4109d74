/*
 * wav.c - the reader of WAV files that the examples share (examples/wav.h).
 *
 * Expected: every kind of PCM and float, plain and WAVE_FORMAT_EXTENSIBLE, gives the same 16-bit samples; other
 * kinds are refused with a text that names them; truncated or corrupt files give the samples they have, or are
 * refused.
 */
#include "../../examples/wav.h"
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FRAMES = 300, CHANNELS = 2 };

typedef struct image {
    uint8_t bytes[16384];
    size_t size;
} image;

static void put(image *f, const void *bytes, size_t size)
{
    memcpy(f->bytes + f->size, bytes, size);
    f->size += size;
}

static void number(image *f, uint64_t n, int bytes)
{
    for (; bytes > 0; bytes--, n >>= 8) f->bytes[f->size++] = (uint8_t)n;
}

/* The content of every file: a ramp that includes both ends of the range. */
static int16_t sample(int i)
{
    return i == 0 ? -32768 : i == 1 ? 32767 : (int16_t)(i * 7919 % 65536 - 32768);
}

static image make(int tag, int bits, int extensible, uint32_t data_size)
{
    image f = { .size = 0 };
    int align = CHANNELS * bits / 8;
    put(&f, "RIFF", 4), number(&f, 0, 4), put(&f, "WAVE", 4);
    put(&f, "LIST", 4), number(&f, 3, 4), put(&f, "odd", 4); /* a chunk of an odd size, padded */
    put(&f, "fmt ", 4), number(&f, extensible ? 40 : 16, 4), number(&f, extensible ? 0xfffe : tag, 2), number(&f, CHANNELS, 2);
    number(&f, 44100, 4), number(&f, 44100u * align, 4), number(&f, align, 2), number(&f, bits, 2);
    if (extensible) {
        number(&f, 22, 2), number(&f, bits, 2), number(&f, 3, 4), number(&f, tag, 2);
        put(&f, "\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71", 14);
    }
    put(&f, "data", 4), number(&f, data_size ? data_size : (uint32_t)(FRAMES * align), 4);
    for (int i = 0; i < FRAMES * CHANNELS; i++) {
        int32_t s = sample(i);
        if (tag == 3 && bits == 32) {
            float x = (float)(s / 32768.0);
            put(&f, &x, 4);
        } else if (tag == 3) {
            double x = s / 32768.0;
            put(&f, &x, 8);
        } else if (bits == 8) {
            number(&f, (uint64_t)(s / 256 + 128), 1);
        } else {
            number(&f, (uint64_t)s << (bits - 16), bits / 8);
        }
    }
    put(&f, "LIST", 4), number(&f, 4, 4), put(&f, "tail", 4);
    return f;
}

static int open_image(wav *w, const image *f, size_t size)
{
    char path[64];
    int fd = memfd_create("wav", 0);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, f->bytes, size), size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int result = wav_open(w, path);
    close(fd);
    return result;
}

/* Reads the whole file, in pieces of an odd size. */
static uint32_t drain(wav *w, int16_t *pcm, uint32_t room)
{
    uint32_t all = 0, n;
    while (all + 77 <= room && (n = wav_read(w, pcm + all * w->channels, 77))) all += n;
    CHECK_EQ(wav_read(w, pcm, 1), 0);
    wav_close(w, 0);
    return all;
}

static void reads(int tag, int bits, int extensible)
{
    static int16_t pcm[4096];
    image f = make(tag, bits, extensible, 0);
    wav w;
    test_step(5, "format %d, %d bits%s", tag, bits, extensible ? ", extensible" : "");
    CHECK_THAT(!open_image(&w, &f, f.size), "it is refused: %s", w.error);
    CHECK_EQ(w.rate, 44100);
    CHECK_EQ(w.channels, CHANNELS);
    CHECK_EQ(drain(&w, pcm, 1000), FRAMES);
    for (int i = 0; i < FRAMES * CHANNELS; i++) {
        int wanted = bits == 8 ? (sample(i) / 256) * 256 : sample(i);
        CHECK_THAT(pcm[i] == wanted, "sample %d is %d, not %d", i, pcm[i], wanted);
    }
}

static void refuses(const image *f, const char *words)
{
    wav w;
    test_step(5, "refused: %s", words);
    CHECK_EQ(open_image(&w, f, f->size), -1);
    CHECK(!w.file);
    CHECK_THAT(strstr(w.error, words), "the error is \"%s\"", w.error);
}

static image with(image f, size_t at, uint32_t value, int bytes)
{
    size_t size = f.size;
    f.size = at;
    number(&f, value, bytes);
    f.size = size;
    return f;
}

int main(void)
{
    static int16_t pcm[65536];
    wav w;
    image plain = make(1, 16, 0, 0), f;
    const size_t fmt = 12 + 12 + 8; /* the format's first byte */

    test_begin("wav");
    for (int extensible = 0; extensible < 2; extensible++) {
        for (int bits = 8; bits <= 32; bits += 8) reads(1, bits, extensible);
        reads(3, 32, extensible);
        reads(3, 64, extensible);
    }

    test_step(5, "floats out of range");
    f = make(3, 32, 0, 0);
    const float odd[4] = { NAN, INFINITY, -INFINITY, 1.5f };
    memcpy(f.bytes + fmt + 16 + 8, odd, sizeof odd);
    CHECK(!open_image(&w, &f, f.size));
    CHECK_EQ(wav_read(&w, pcm, 2), 2);
    wav_close(&w, 0);
    CHECK(pcm[0] == 0 && pcm[1] == 32767 && pcm[2] == -32768 && pcm[3] == 32767);

    refuses(&(image){ .bytes = "RIFF", .size = 4 }, "too short");
    f = with(plain, 0, 0x58464952, 4); /* RIFX */
    refuses(&f, "does not begin as a WAV file");
    f = with(plain, fmt, 7, 2);
    refuses(&f, "u-law");
    f = with(plain, fmt, 0x55, 2);
    refuses(&f, "MP3");
    f = with(plain, fmt, 0xfffe, 2); /* extensible, but too short for it */
    refuses(&f, "something else");
    f = with(plain, fmt + 2, 0, 2);
    refuses(&f, "0 channels");
    f = with(plain, fmt + 2, 9, 2);
    refuses(&f, "9 channels");
    f = with(plain, fmt + 2, 257, 2);
    refuses(&f, "257 channels");
    f = with(plain, fmt + 4, 400000, 4);
    refuses(&f, "400000 samples per second");
    f = with(plain, fmt + 14, 12, 2);
    refuses(&f, "12 bits");
    f = with(plain, fmt + 12, 3, 2);
    refuses(&f, "contradicts itself");
    f = with(plain, fmt - 4, 14, 4);
    refuses(&f, "cut off");
    f = with(plain, fmt - 8, 0x20746d66 + 1, 4);
    refuses(&f, "nothing about its format");
    CHECK_EQ(wav_open(&w, "/nowhere/at all.wav"), -1);
    CHECK(strstr(w.error, "cannot be opened"));

    test_step(5, "an unknown size: to the end of the file");
    f = make(1, 16, 0, 0xffffffff);
    CHECK(!open_image(&w, &f, f.size));
    CHECK_EQ(drain(&w, pcm, 1000), FRAMES + 3); /* the bytes that follow are taken for samples */

    test_step(30, "cut off at every byte");
    for (size_t size = 0; size < plain.size; size++) {
        if (open_image(&w, &plain, size)) {
            CHECK(w.error[0] && size < fmt + 16 + 8);
            continue;
        }
        size_t whole = (size - (fmt + 16 + 8)) / 4;
        CHECK_EQ(drain(&w, pcm, 1000), whole < FRAMES ? whole : FRAMES);
    }

    test_step(30, "garbled");
    for (unsigned i = 0, n = rounds(3000); i < n; i++) {
        f = make(i % 2 ? 1 : 3, 32, i % 4 / 2, 0);
        for (int k = 0; k < 4; k++) f.bytes[test_random() % (k < 3 ? 100 : f.size)] = (uint8_t)test_random();
        if (open_image(&w, &f, f.size)) CHECK(w.error[0]);
        else CHECK(drain(&w, pcm, 65536 / WAV_CHANNELS) <= f.size);
    }
    return test_end();
}
