/*
 * wav.h - the little of RIFF/WAVE that the examples need. Reads PCM of 8, 16, 24 and 32 bits and floats of 32 and 64
 * bits, as WAVE_FORMAT_EXTENSIBLE too, and gives 16 bits; writes 16 bits. Of other files it says what they are.
 */
#ifndef EXAMPLES_WAV_H
#define EXAMPLES_WAV_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { WAV_CHANNELS = 8, WAV_RATE = 192000 }; /* as many as the library takes */

typedef struct wav {
    FILE *file;
    uint32_t rate, channels, frames; /* frames: what is left to read, or was written */
    uint32_t bytes;                  /* of one sample in the file */
    int is_float;
    char error[128];                 /* why wav_open failed */
} wav;

static inline uint32_t wav_u16(const uint8_t *b) { return b[0] | (uint32_t)b[1] << 8; }
static inline uint32_t wav_u32(const uint8_t *b) { return wav_u16(b) | wav_u16(b + 2) << 16; }

/* What the format chunk says; 0 when it can be read. */
static inline int wav_format(wav *w, const uint8_t *fmt, uint32_t size)
{
    uint32_t tag = wav_u16(fmt), bits = wav_u16(fmt + 14), align = wav_u16(fmt + 12);
    if (tag == 0xfffe) { /* WAVE_FORMAT_EXTENSIBLE: the true tag begins its GUID */
        static const uint8_t rest[14] = { 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71 };
        tag = size >= 40 && !memcmp(fmt + 26, rest, sizeof rest) ? wav_u16(fmt + 24) : 0xfffe;
    }
    w->channels = wav_u16(fmt + 2);
    w->rate = wav_u32(fmt + 4);
    w->is_float = tag == 3;
    w->bytes = bits / 8;
    if (tag != 1 && tag != 3)
        snprintf(w->error, sizeof w->error, "it is coded as %s (format %#x): convert it to PCM",
                 tag == 2 || tag == 0x11 ? "ADPCM" : tag == 6 ? "A-law" : tag == 7 ? "u-law" : tag == 0x55 ? "MP3" : "something else", tag);
    else if (tag == 1 ? bits != 8 && bits != 16 && bits != 24 && bits != 32 : bits != 32 && bits != 64)
        snprintf(w->error, sizeof w->error, "it has %s samples of %u bits", tag == 1 ? "integer" : "float", bits);
    else if (w->channels < 1 || w->channels > WAV_CHANNELS)
        snprintf(w->error, sizeof w->error, "it has %u channels; 1 to %d are possible", w->channels, WAV_CHANNELS);
    else if (w->rate < 8000 || w->rate > WAV_RATE)
        snprintf(w->error, sizeof w->error, "it has %u samples per second; 8000 to %d are possible", w->rate, WAV_RATE);
    else if (align != w->channels * w->bytes)
        snprintf(w->error, sizeof w->error, "its header contradicts itself: %u bytes for %u channels of %u bits", align, w->channels, bits);
    else
        return 0;
    return -1;
}

/* Also where nothing can be skipped: in a pipe. */
static inline int wav_skip(wav *w, uint64_t bytes)
{
    uint8_t away[512];
    if (bytes <= 0x7fffffff && !fseek(w->file, (long)bytes, SEEK_CUR)) return 0;
    while (bytes) {
        size_t n = fread(away, 1, bytes < sizeof away ? (size_t)bytes : sizeof away, w->file);
        if (!n) return -1;
        bytes -= n;
    }
    return 0;
}

static inline int wav_find_data(wav *w)
{
    uint8_t head[12], chunk[8], fmt[40] = { 0 };
    int known = 0;
    if (fread(head, 12, 1, w->file) != 1) return snprintf(w->error, sizeof w->error, "it is too short"), -1;
    if (memcmp(head, "RIFF", 4) || memcmp(head + 8, "WAVE", 4))
        return snprintf(w->error, sizeof w->error, "it does not begin as a WAV file"), -1;
    while (fread(chunk, 8, 1, w->file) == 1) {
        uint32_t size = wav_u32(chunk + 4), have = size < sizeof fmt ? size : (uint32_t)sizeof fmt;
        if (!memcmp(chunk, "data", 4)) {
            if (!known) return snprintf(w->error, sizeof w->error, "it says nothing about its format"), -1;
            /* Programs that write into a pipe do not know the size: to the end of the file. */
            w->frames = size == 0 || size == 0xffffffff ? 0xffffffff : size / (w->bytes * w->channels);
            return 0;
        }
        if (!memcmp(chunk, "fmt ", 4)) {
            if (have < 16 || fread(fmt, have, 1, w->file) != 1) return snprintf(w->error, sizeof w->error, "its format is cut off"), -1;
            if (wav_format(w, fmt, have)) return -1;
            known = 1;
            if (wav_skip(w, (uint64_t)size - have + (size & 1))) break;
        } else if (wav_skip(w, (uint64_t)size + (size & 1))) {
            break;
        }
    }
    return snprintf(w->error, sizeof w->error, "it ends before its samples"), -1;
}

static inline void wav_close(wav *w, int written);

/* Opens a file for reading; when it cannot be read, error says why. */
static inline int wav_open(wav *w, const char *path)
{
    memset(w, 0, sizeof *w);
    if (!(w->file = fopen(path, "rb"))) return snprintf(w->error, sizeof w->error, "it cannot be opened"), -1;
    if (!wav_find_data(w)) return 0;
    wav_close(w, 0);
    return -1;
}

static inline int16_t wav_sample(const wav *w, const uint8_t *b)
{
    double x;
    if (!w->is_float) return w->bytes == 1 ? (int16_t)((b[0] - 128) * 256) : (int16_t)wav_u16(b + w->bytes - 2);
    if (w->bytes == 4) {
        uint32_t bits = wav_u32(b);
        float f;
        memcpy(&f, &bits, sizeof f);
        x = f;
    } else {
        uint64_t bits = wav_u32(b) | (uint64_t)wav_u32(b + 4) << 32;
        memcpy(&x, &bits, sizeof x);
    }
    if (x != x) return 0; /* not a number */
    return x >= 32767 / 32768.0 ? 32767 : x <= -1 ? -32768 : (int16_t)(x * 32768 + (x < 0 ? -0.5 : 0.5));
}

/* Reads up to `frames` frames; fewer at the end. */
static inline uint32_t wav_read(wav *w, int16_t *pcm, uint32_t frames)
{
    uint8_t raw[64 * WAV_CHANNELS * 8];
    uint32_t done = 0, frame = w->bytes * w->channels;
    if (frames > w->frames) frames = w->frames;
    while (done < frames) {
        uint32_t want = frames - done < 64 ? frames - done : 64;
        uint32_t n = (uint32_t)fread(raw, frame, want, w->file);
        for (uint32_t i = 0; i < n * w->channels; i++) pcm[done * w->channels + i] = wav_sample(w, raw + i * w->bytes);
        done += n;
        if (n < want) { /* the file ends here, whatever its header says */
            w->frames = done;
            break;
        }
    }
    w->frames -= done;
    return done;
}

/* Writes the header; once at the start and, with the true length, again at the end. */
static inline void wav_header(wav *w)
{
    uint32_t bytes = w->frames * w->channels * 2, riff = bytes + 36, sixteen = 16, rate = w->rate;
    uint32_t per_second = w->rate * w->channels * 2;
    uint16_t pcm = 1, channels = (uint16_t)w->channels, align = (uint16_t)(w->channels * 2), bits = 16;
    rewind(w->file);
    fwrite("RIFF", 4, 1, w->file), fwrite(&riff, 4, 1, w->file), fwrite("WAVEfmt ", 8, 1, w->file);
    fwrite(&sixteen, 4, 1, w->file), fwrite(&pcm, 2, 1, w->file), fwrite(&channels, 2, 1, w->file);
    fwrite(&rate, 4, 1, w->file), fwrite(&per_second, 4, 1, w->file), fwrite(&align, 2, 1, w->file);
    fwrite(&bits, 2, 1, w->file), fwrite("data", 4, 1, w->file), fwrite(&bytes, 4, 1, w->file);
}

static inline int wav_create(wav *w, const char *path, uint32_t rate, uint32_t channels)
{
    memset(w, 0, sizeof *w);
    w->rate = rate;
    w->channels = channels;
    if (!(w->file = fopen(path, "wb"))) return -1;
    wav_header(w);
    return 0;
}

static inline void wav_write(wav *w, const int16_t *pcm, uint32_t frames)
{
    w->frames += (uint32_t)fwrite(pcm, 2 * w->channels, frames, w->file);
}

static inline void wav_close(wav *w, int written)
{
    if (!w->file) return;
    if (written) wav_header(w);
    fclose(w->file);
    w->file = NULL;
}

#endif
