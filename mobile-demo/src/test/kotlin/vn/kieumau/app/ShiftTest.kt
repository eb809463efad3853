package vn.kieumau.app

import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assertions.fail
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import vn.kieumau.core.*
import java.net.InetAddress
import java.net.ServerSocket
import java.net.URI
import java.nio.file.Files
import java.nio.file.Path

/** One long shift of An and Hà that asks the store for everything an app can ask for. Python checks that nothing is left out. */
@Timeout(300)
class ShiftTest {
    @TempDir
    lateinit var folder: Path

    private val place = Position(18.6734, 105.6813)
    private val sidewalk = NewObservation(category = "urban-order", count = 3, countUnit = "household")
    private val textOnly = SyncOptions(tries = 2u, attachments = false)

    private suspend fun phone(name: String) =
        PhoneStore.open(PhoneConfig(folder.resolve(name).toString(), ByteArray(32) { 7 }, "0.1.0"))

    /** Waits for what a worker of the server does in its own time. */
    private suspend fun <T : Any> until(what: String, so: suspend () -> T?): T {
        repeat(240) {
            so()?.let { return it }
            delay(250)
        }
        return fail("never came about: $what")
    }

    private suspend fun notFound(call: suspend () -> Unit) {
        val refused = try {
            call()
            null
        } catch (refused: PhoneException) {
            refused
        }
        assertTrue(refused is PhoneException.NotFound, "$refused")
    }

    @Test
    fun `a shift of An and Hà asks for everything once`() = runBlocking {
        DemoServer.start(folder.resolve("server")).use { server ->
            phone("an").use { an ->
                phone("ha").use { ha ->
                    assertEquals("An", an.enrolByQr(server.qr("an")).personName)
                    ha.enrol(server.url, server.code("ha"))
                    assertEquals(server.url, an.findServer(server.qr("an")).serverUrl)
                    learnsOfTheUnit(an)
                    val patrol = walks(an, ha)
                    val observation = records(an, patrol)
                    val photo = attaches(an, patrol)
                    filesEvidence(an)
                    shares(an, ha, patrol, photo)
                    disagrees(an, ha, patrol, observation)
                    letsGoAndBringsBack(server, an, patrol, photo)
                    follows(an, ha, patrol)
                    isRescued(an, ha, patrol)
                }
            }
        }
    }

    private suspend fun learnsOfTheUnit(an: PhoneStore) {
        assertTrue(an.checkpoints().first().isEmpty())
        an.sync(textOnly)
        assertTrue(an.clockSkewMs()!! in -60_000L..60_000L)
        assertTrue("Hà" in an.colleagues().first().map { it.name })
        assertTrue("Chợ Vinh" in an.checkpoints().first().map { it.name })
        assertEquals(an.colleagues().first(), an.knownPeople().first())
        assertEquals(an.checkpoints().first(), an.knownCheckpoints().first())
    }

    private suspend fun walks(an: PhoneStore, ha: PhoneStore): DocumentId {
        val patrol = an.startPatrol(NewPatrol("Ca đêm 21/11, tổ An"))
        assertEquals(patrol, ha.joinPatrol(an.patrol(patrol).first().joinQr))
        assertFalse(ha.patrols().first().single { it.patrol == patrol }.startReceived, "An's phone has not synced")
        val fix = Fix(System.currentTimeMillis(), place, 8.0)
        an.pause(patrol)
        assertEquals(Dropped.PAUSED, an.addFix(patrol, fix))
        an.resume(patrol)
        assertNull(an.addFix(patrol, fix))
        val checkpoint = an.checkpoints().first().first().checkpoint
        an.visitCheckpoint(patrol, checkpoint, "gps")
        val watch = folder.resolve("watch.gpx")
        Files.writeString(watch, gpx("""<trkpt lat="18.67" lon="105.68"><time>2026-11-21T20:00:00Z</time></trkpt>"""))
        assertEquals(1u, an.importTrack(patrol, watch.toString()).kept)
        val view = an.patrol(patrol).first()
        assertEquals(listOf(checkpoint), view.visits)
        assertEquals(listOf(false, true), view.tracks.map { it.file != null }.sorted())
        return patrol
    }

    private suspend fun records(an: PhoneStore, patrol: DocumentId): ObservationId {
        val observation = an.addObservation(patrol, sidewalk.copy(position = place))
        an.editObservation(patrol, observation, sidewalk.copy(count = 4))
        val seen = an.observations(patrol).first().single().content
        assertEquals(4L to null, seen.count to seen.position)
        return observation
    }

    private suspend fun attaches(an: PhoneStore, patrol: DocumentId): Sha256 {
        val photo = an.attach(patrol, null, photo(folder).toString())
        assertTrue(Files.size(Path.of(an.preview(photo))) > 0)
        val hung = an.patrol(patrol).first().attachments.single()
        assertEquals(photo to null, hung.sha256 to hung.item)
        an.withdrawAttachment(patrol, hung.attachment)
        assertNotNull(an.patrol(patrol).first().attachments.single().withdrawnAtMs)
        assertEquals(photo, an.attach(patrol, null, photo(folder).toString()), "attached again on purpose")
        assertEquals(2, an.patrol(patrol).first().attachments.size)
        return photo
    }

    private suspend fun filesEvidence(an: PhoneStore) {
        val period = periodAt(System.currentTimeMillis())
        val criterion = catalogue().criteria.first { "photo" in it.evidenceKinds }.number
        val filed = an.fileEvidence(criterion, period, NewEvidence("photo", "Trụ sở trước sửa chữa"))
        an.editEvidence(filed.document, filed.evidence, NewEvidence("photo", "Trụ sở sau sửa chữa"))
        assertTrue("photo" !in an.missing(criterion, period).first())
        val file = an.evidence().first().single { it.document == filed.document }
        assertTrue("Trụ sở sau sửa chữa" in file.items.map { it.content.summary }, "beside what the sample ward filed")
    }

    private suspend fun shares(an: PhoneStore, ha: PhoneStore, patrol: DocumentId, photo: Sha256) {
        val to = an.colleagues().first().single { it.name == "Hà" }.person
        val handover = an.handOver(patrol, to, "Còn một xe tạm giữ")
        an.sync()
        assertEquals(ItemState.RECEIVED, an.items().first().single { it.document == patrol }.state)
        assertEquals(emptyList<Reviewed>(), an.reviews().first().filter { it.document == patrol })
        until("the start is on Hà's phone") {
            ha.sync()
            ha.patrols().first().find { it.patrol == patrol && it.startReceived }
        }
        ha.confirmHandover(patrol, handover)
        assertNotNull(ha.patrol(patrol).first().handovers.single().confirmedAtMs)
        notFound { ha.viewable(photo) }
        until("Hà may fetch An's photo") {
            try {
                ha.download(photo)
            } catch (notYet: PhoneException.NotFound) {
                null
            }
        }
        assertTrue(ha.attachment(photo).first().onPhone)
        assertArrayEquals(Files.readAllBytes(photo(folder)), Files.readAllBytes(Path.of(ha.viewable(photo))))
    }

    private suspend fun disagrees(an: PhoneStore, ha: PhoneStore, patrol: DocumentId, observation: ObservationId) {
        an.editObservation(patrol, observation, sidewalk.copy(count = 4, note = "Đã dẹp"))
        ha.editObservation(patrol, observation, sidewalk.copy(count = 4, note = "Chưa dẹp"))
        val clash = until("both values are on An's phone") {
            an.sync()
            ha.sync()
            an.clash(patrol).first().singleOrNull()
        }
        val index = clash.values.indexOfFirst { it.text == "Đã dẹp" }
        assertTrue(an.choose(clash, index.toUInt()))
        assertFalse(an.choose(clash, index.toUInt()))
        assertEquals("Đã dẹp", an.observations(patrol).first().single().content.note)
    }

    private suspend fun letsGoAndBringsBack(server: DemoServer, an: PhoneStore, patrol: DocumentId, photo: Sha256) {
        an.sync()
        assertEquals(emptyList<Sha256>(), an.letGo(0), "no backup holds it yet")
        server.backUp()
        // The word comes with the next answer to a push, of another patrol: this one's receipt is to be below the backup.
        an.startPatrol(NewPatrol("Ca sau khi sao lưu"))
        an.sync()
        assertEquals(listOf(photo), an.letGo(0))
        notFound { an.viewable(photo) }
        assertTrue(an.download(photo).onPhone)
    }

    private suspend fun follows(an: PhoneStore, ha: PhoneStore, patrol: DocumentId) = kotlinx.coroutines.coroutineScope {
        val following = async { ha.follow() }
        an.end(patrol)
        an.sync()
        until("the end comes to Hà by itself") { ha.patrol(patrol).first().summary.endedAtMs }
        ha.unfollow()
        following.await()
    }

    private suspend fun isRescued(an: PhoneStore, ha: PhoneStore, patrol: DocumentId) {
        an.addObservation(patrol, sidewalk.copy(note = "Máy sắp hỏng"))
        val path = folder.resolve("an.rescue").toString()
        assertTrue(an.exportRescue(path).changes >= 1u)
        assertTrue(ha.deliverRescue(path).changesTaken >= 1u)
    }

    @Test
    fun `a sync that is cancelled answers with what it did`() = runBlocking {
        phone("an").use { store ->
            val url = EnrolmentDesk().use { desk -> desk.url.also { store.enrol(it, "ABCDE-FGH12") } }
            // Where the server was, somebody takes the call and says nothing.
            ServerSocket(URI(url).port, 10, InetAddress.getLoopbackAddress()).use {
                val syncing = async(start = CoroutineStart.UNDISPATCHED) { store.sync() }
                while (!syncing.isCompleted) {
                    delay(50)
                    store.cancel()
                }
                assertTrue(syncing.await().cancelled)
            }
        }
    }

    @Test
    fun `a bad track file says its rule and leaves the patrol as it was`() = runBlocking {
        phone("an").use { store ->
            EnrolmentDesk().use { store.enrol(it.url, "ABCDE-FGH12") }
            val patrol = store.startPatrol(NewPatrol("Ca đêm"))
            store.addFix(patrol, Fix(System.currentTimeMillis(), place, 8.0))
            val before = store.patrol(patrol).first()
            val bad = mapOf(
                "Đây không phải lộ trình" to Rule.UNREADABLE,
                "<html></html>" to Rule.WRONG_KIND,
                gpx("""<trkpt lat="18.67" lon="105.68"/>""") to Rule.WITHOUT_TIMES,
                gpx("""<trkpt lat="18.67" lon="105.68"><time>1999-12-31T23:59:59Z</time></trkpt>""") to Rule.OUT_OF_TIME,
                gpx("""<trkpt lat="0" lon="0"><time>2026-11-21T20:00:00Z</time></trkpt>""") to Rule.OFF_THE_MAP,
            )
            for ((text, rule) in bad) {
                val path = Files.writeString(folder.resolve("bad.gpx"), text)
                try {
                    store.importTrack(patrol, path.toString())
                    fail<Unit>("$rule was not seen")
                } catch (refused: PhoneException.Invalid) {
                    assertEquals("track" to rule, refused.field to refused.rule)
                }
                assertEquals(before, store.patrol(patrol).first())
            }
        }
    }

    private fun gpx(points: String) =
        """<gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>$points</trkseg></trk></gpx>"""
}
