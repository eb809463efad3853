package vn.kieumau.app

import kotlinx.coroutines.async
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assertions.fail
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import vn.kieumau.core.*
import java.nio.file.Files
import java.nio.file.Path

/** An officer's phone without signal. */
@Timeout(60)
class OfflineTest {
    @TempDir
    lateinit var folder: Path

    private val sidewalk = NewObservation(category = "urban-order", count = 3, countUnit = "household")

    private fun config(key: ByteArray = ByteArray(32) { 7 }) =
        PhoneConfig(folder = folder.toString(), key = key, appVersion = "0.1.0")

    private suspend fun open(key: ByteArray = ByteArray(32) { 7 }) = PhoneStore.open(config(key))

    /** A phone that was enrolled once and has had no signal since. */
    private suspend fun enrolled() = open().also { store ->
        EnrolmentDesk().use { store.enrol(it.url, "ABCDE-FGH12") }
    }

    private suspend fun refusal(call: suspend () -> Unit): PhoneException {
        try {
            call()
        } catch (refused: PhoneException) {
            return refused
        }
        return fail("nothing was refused")
    }

    private suspend fun broken(call: suspend () -> Unit): Pair<String, Rule> {
        val invalid = refusal(call) as PhoneException.Invalid
        return invalid.field to invalid.rule
    }

    @Test
    fun `the library keeps the contract that this app was written for`() = assertEquals(1u, contract())

    @Test
    fun `a wrong key is invalid at key and the right one opens after it`() = runBlocking {
        open().close()
        assertEquals("key" to Rule.UNREADABLE, broken { open(ByteArray(32) { 8 }) })
        assertEquals("key" to Rule.MALFORMED, broken { open(ByteArray(31)) })
        open().close()
    }

    @Test
    fun `a folder that is open is not opened again until it is closed`() = runBlocking {
        enrolled().use { store ->
            val patrol = store.startPatrol(NewPatrol("Ca đêm 21/11, tổ An"))
            assertEquals("folder" to Rule.ALREADY, broken { open() })
            assertEquals(patrol, store.patrols().first().single().patrol)
        }
        open().close()
    }

    @Test
    fun `a phone that is not enrolled is signed out and says so`() = runBlocking {
        open().use { store ->
            assertNull(store.profile().first())
            for (call in listOf<suspend () -> Unit>({ store.startPatrol(NewPatrol("Ca đêm")) }, { store.sync() })) {
                assertEquals("not-enrolled", (refusal(call) as PhoneException.SignedOut).word)
            }
        }
    }

    @Test
    fun `a broken rule names its field`() = runBlocking {
        enrolled().use { store ->
            assertEquals("title" to Rule.REQUIRED, broken { store.startPatrol(NewPatrol(" ")) })
            val patrol = store.startPatrol(NewPatrol("Ca đêm 21/11, tổ An"))
            suspend fun said(new: NewObservation) = broken { store.addObservation(patrol, new) }
            assertEquals("count" to Rule.TOO_SMALL, said(sidewalk.copy(count = 0)))
            assertEquals("category" to Rule.UNKNOWN, said(sidewalk.copy(category = "weather")))
            assertEquals("position" to Rule.OFF_THE_MAP, said(sidewalk.copy(position = Position(0.0, 0.0))))
            assertEquals("note" to Rule.TOO_LONG, said(sidewalk.copy(note = "x".repeat(2_001))))
            assertEquals("document" to Rule.MALFORMED, broken { store.pause("no id") })
            assertTrue(store.observations(patrol).first().isEmpty(), "what was refused is not kept")
        }
    }

    @Test
    fun `what was recorded is there after the app was killed and opened again`() = runBlocking {
        val (patrol, photo) = enrolled().use { store ->
            val patrol = store.startPatrol(NewPatrol("Ca đêm 21/11, tổ An", vehicles = mapOf("motorbike" to 2L)))
            val place = Position(18.6734, 105.6813)
            assertNull(store.addFix(patrol, Fix(System.currentTimeMillis(), place, 8.0)))
            val observation = store.addObservation(patrol, sidewalk.copy(position = place, note = "Lấn chiếm vỉa hè"))
            patrol to store.attach(patrol, observation, photo(folder).toString())
        }
        open().use { store ->
            assertEquals("An", store.profile().first()?.personName)
            val view = store.patrol(patrol).first()
            assertEquals(mapOf("motorbike" to 2L), view.vehicles)
            assertEquals(8.0, view.tracks.single().fixes.single().accuracyM)
            val observation = store.observations(patrol).first().single()
            assertEquals("Lấn chiếm vỉa hè", observation.content.note)
            assertEquals(Position(18.6734, 105.6813), observation.content.position)
            assertEquals(listOf(photo), observation.attachments)
            val item = store.items().first().single()
            assertEquals(ItemState.SAVED to 1u, item.state to item.unsentAttachments)
            assertEquals(Files.readAllBytes(photo(folder)).toList(), Files.readAllBytes(Path.of(store.viewable(photo))).toList())
        }
    }

    @Test
    fun `evidence that is filed is no longer missing`() = runBlocking {
        enrolled().use { store ->
            val period = periodAt(1_795_410_000_000)
            val criterion = catalogue().criteria.first { "photo" in it.evidenceKinds }.number
            assertTrue("photo" in store.missing(criterion, period).first())
            val filed = store.fileEvidence(criterion, period, NewEvidence("photo", "Trụ sở sau sửa chữa"))
            store.attach(filed.document, filed.evidence, photo(folder).toString())
            assertTrue("photo" !in store.missing(criterion, period).first())
            assertEquals(filed.evidence, store.evidence().first().single().items.single().evidence)
        }
    }

    @Test
    fun `a list that is looked at shows what is recorded meanwhile`() = runBlocking {
        enrolled().use { store ->
            val patrol = store.startPatrol(NewPatrol("Ca đêm"))
            val looked = async { store.patrols().first { it.single().observationCount == 1u } }
            store.addObservation(patrol, sidewalk)
            assertEquals(patrol, looked.await().single().patrol)
        }
    }

    @Test
    fun `a sync without signal is offline and the record stays saved on the phone`() = runBlocking {
        enrolled().use { store ->
            store.startPatrol(NewPatrol("Ca đêm"))
            val refused = refusal { store.sync(SyncOptions(tries = 1u, attachments = true)) }
            assertTrue(refused is PhoneException.Offline)
            assertEquals(SyncState.Failed(refused), store.sync.value)
            assertEquals(ItemState.WAITING, store.items().first().single().state)
        }
    }

    @Test
    fun `a damaged database is said, salvaged, and what was found lies aside`() = runBlocking {
        enrolled().use { store ->
            store.startPatrol(NewPatrol("Ca đêm"))
            assertTrue(store.damages().first().isEmpty(), "nothing is damaged yet")
        }
        // Salvaged while it is whole it loses nothing; then its first page is spoilt.
        PhoneStore.salvage(config()).use { store ->
            assertEquals("Ca đêm", store.patrols().first().single().title)
            val damage = store.damages().first().single()
            assertTrue(damage.lacking.isEmpty() && !damage.identityLost)
            assertTrue(Files.exists(Path.of(damage.setAside).resolve("kieumau.db")))
        }
        PhoneStore.salvage(config()).close()
        val database = folder.resolve("kieumau.db")
        val bytes = Files.readAllBytes(database)
        bytes[100] = (bytes[100].toInt() xor 1).toByte()
        Files.write(database, bytes)
        assertEquals("database" to Rule.UNREADABLE, broken { open() })
        PhoneStore.salvage(config()).use { assertTrue(it.damages().first().last().identityLost) }
    }

    @Test
    fun `nothing is refused offline, and what was not refused is not written again`() = runBlocking {
        enrolled().use { store ->
            val patrol = store.startPatrol(NewPatrol("Ca đêm"))
            assertTrue(store.refused(patrol).first().isEmpty())
            assertTrue(refusal { store.writeAgain(patrol, "0".repeat(64)) } is PhoneException.NotFound)
        }
    }

    @Test
    fun `a photo that says nothing about itself has no facts, and one that is not there is not found`() = runBlocking {
        val facts = PhoneStore.photoFacts(photo(folder).toString())
        assertNull(facts.position)
        assertTrue(refusal { PhoneStore.photoFacts(folder.resolve("none.jpg").toString()) } is PhoneException.NotFound)
    }

    @Test
    fun `a rescue file is written without signal and no recorded word is in it`() = runBlocking {
        enrolled().use { store ->
            val patrol = store.startPatrol(NewPatrol("Ca đêm"))
            store.addObservation(patrol, sidewalk.copy(note = "Lấn chiếm vỉa hè"))
            val path = folder.resolve("an.rescue")
            val report = store.exportRescue(path.toString())
            assertEquals(2u, report.changes)
            val text = Files.readString(path, Charsets.ISO_8859_1)
            for (charset in listOf(Charsets.UTF_8, Charsets.UTF_16LE, Charsets.UTF_16BE)) {
                val needle = "vỉa hè".toByteArray(charset).toString(Charsets.ISO_8859_1)
                assertTrue(needle !in text)
            }
        }
    }
}
